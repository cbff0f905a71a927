//! The conformance suite: what every back end promises, as cases that run against it.
//!
//! A back end is done when it passes; a bug found in one back end becomes a case for all. Every case names the promise of the store
//! ports that it proves (by the number under which the design lists it) and the capabilities without which it cannot run.
//!
//! ```ignore
//! runtime_stores::conformance!(memory, MemoryBackend);
//! ```

mod access;
mod app_rows;
mod bounds;
mod dead;
mod durable;
mod effects;
mod filters;
mod keys;
mod lanes;
mod leases;
mod lines;
mod looking;
mod operations;
mod schedules;
mod settling;
mod shedding;
mod steering;
mod suspects;
mod time;
mod unique;
mod weights;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::limits::StoreLimits;
use runtime_core::name::InstanceName;
use runtime_core::store::{Capability, Store, StoreError};

use crate::retention::Retention;
use world::World;

/// What a case asks of a store before it is opened.
#[derive(Clone)]
pub struct Setup {
    /// The store's clock.
    pub clock: Arc<ManualClock>,
    /// What the store accepts.
    pub limits: StoreLimits,
    /// How long it keeps what is finished.
    pub retention: Retention,
    /// Who opens it.
    pub instance: InstanceName,
}

/// A back end under test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store. The first call makes an empty one; later calls open what the one before left.
    async fn open(&mut self, setup: &Setup) -> Result<Arc<dyn Store>, StoreError>;
}

/// Time that moves only when told.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Some moment.
    pub fn new() -> Self {
        Self(AtomicI64::new(1_790_000_000_000))
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a test's wait fits"), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("a test's time is valid")
    }
}

type CaseFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise, as a test.
#[derive(Clone, Copy)]
pub struct Case {
    /// What holds, as a sentence.
    pub name: &'static str,
    /// Which promises of the ports it proves.
    pub promises: &'static [u8],
    /// What the back end must be able to do.
    pub needs: &'static [Capability],
    run: fn(World) -> CaseFuture,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("promises", &self.promises)
            .finish_non_exhaustive()
    }
}

/// Runs the case of this name against a new store. A case whose capability the store lacks has nothing to prove and passes.
///
/// # Panics
/// When the promise does not hold, or no case has this name.
pub async fn run_case(name: &str, backend: impl Backend + 'static) {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"));
    let world = World::new(Box::new(backend)).await;
    let has = world.store.capabilities();
    if let Some(missing) = case.needs.iter().find(|capability| !has.contains(capability)) {
        println!("skipped: this back end lacks {missing:?}");
        return;
    }
    (case.run)(world).await;
}

/// Declares the cases, once, for the list and for the macro that makes tests of them.
macro_rules! cases {
    ($($module:ident { $($name:ident: $promises:tt $needs:tt;)* })*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($(Case {
            name: stringify!($name),
            promises: &$promises,
            needs: &$needs,
            run: |world| Box::pin($module::$name(world)),
        },)*)*];
    };
}

use Capability::{AppWrites, Durable, OrderingKeys};

cases! {
    leases {
        a_lease_raises_the_epoch_and_counts_the_attempt: [2] [];
        two_asks_never_get_the_same_task: [2] [];
        a_late_write_of_a_lost_lease_changes_nothing_and_says_so: [2] [];
        an_unknown_lease_is_stale: [2] [];
        an_extended_lease_outlives_its_first_term: [3] [];
        a_lease_that_ran_out_is_swept_and_not_counted_as_an_attempt: [3] [];
        claims_go_by_priority_and_then_by_age: [2] [];
        a_wait_makes_up_for_a_worse_priority: [2] [];
        a_task_that_comes_back_unfinished_keeps_its_place: [2] [];
        one_named_task_can_be_leased: [2] [];
        a_checkpoint_stays_for_the_next_attempt: [2] [];
        a_task_past_its_deadline_is_not_leased_but_dies: [2] [];
    }
    settling {
        each_outcome_leads_where_the_lifecycle_says: [4] [];
        what_rides_along_commits_with_the_outcome: [4] [];
        a_refused_follow_up_undoes_its_member_alone: [4] [];
        what_rides_along_is_ignored_unless_done: [4] [];
        a_failed_attempt_is_remembered: [4] [];
        settling_twice_is_stale: [2, 4] [];
        each_of_many_keeps_what_is_its_own: [1, 2, 4] [];
        a_retry_without_a_wait_is_ready_at_once: [4] [];
    }
    keys {
        the_same_key_is_the_same_task: [6] [];
        the_same_key_with_other_content_is_an_error: [6] [];
        a_key_belongs_to_its_queue: [6] [];
        a_key_outlives_its_task_and_its_history: [6, 8] [];
        a_key_is_forgotten_when_its_time_is_over: [6, 8] [];
        a_known_key_is_no_new_task_for_a_full_queue: [6, 8] [];
        a_call_that_fails_whole_leaves_no_key: [5, 6] [];
    }
    unique {
        a_key_stands_for_its_task_as_long_as_its_window: [6] [];
        a_key_is_remembered_as_long_as_its_window: [6, 8] [];
        an_ignored_task_changes_nothing: [6] [];
        a_waiting_task_takes_what_replaces_it: [6] [];
        nothing_replaces_a_task_that_was_leased: [6] [];
        a_debounced_task_is_put_off_but_not_for_ever: [6] [];
        only_the_same_work_replaces_a_task: [6] [];
        follow_ups_obey_the_policies_of_their_keys: [4, 6] [];
        a_call_that_fails_whole_takes_its_replacements_back: [5, 6] [];
        windows_and_replacements_survive: [1, 6] [Durable];
    }
    bounds {
        a_full_queue_refuses_from_outside_and_takes_follow_ups: [8] [];
        a_full_queue_takes_again_what_fits: [8] [];
        an_oversize_payload_is_refused_alone: [9] [];
        an_oversize_output_or_checkpoint_is_refused: [9] [];
        an_oversize_batch_is_refused_whole: [9] [];
    }
    shedding {
        a_deep_queue_refuses_what_can_wait_and_takes_the_rest_up_to_capacity: [8] [];
        shedding_by_depth_ends_when_a_quarter_is_gone: [8] [];
        a_standing_delay_sheds_and_a_short_one_does_not: [8] [];
        what_was_taken_is_never_dropped: [8] [];
        without_a_policy_nothing_is_shed_and_a_new_one_begins_anew: [8] [];
        a_sweep_sees_a_delay_that_nobody_else_looks_at: [8] [];
        a_lane_that_waits_keeps_nothing_out_of_the_others: [8] [];
        a_hopeless_task_is_ended_while_the_queue_sheds: [8] [];
        nothing_is_late_in_a_paused_queue_and_afterwards_only_since_then: [8] [];
        what_is_asked_for_by_name_is_taken_up_to_capacity: [8] [];
    }
    suspects {
        a_task_that_dies_three_times_with_its_process_is_poison: [8] [];
        an_innocent_beside_a_killer_is_never_blamed: [8] [];
        nothing_is_leased_beside_a_lone_suspect: [8] [];
        a_suspect_comes_to_run_and_others_are_not_stalled_for_ever: [8] [];
        whoever_survives_an_attempt_is_no_longer_suspect: [8] [];
    }
    lines {
        tasks_of_one_ordering_key_run_one_at_a_time_in_order: [7] [OrderingKeys];
        a_task_behind_another_is_not_leased_by_its_id_either: [7] [OrderingKeys];
        a_head_that_waits_or_is_parked_blocks_its_key_and_is_shown: [7] [OrderingKeys];
        a_head_that_is_not_due_yet_blocks_those_enqueued_after_it: [7] [OrderingKeys];
        a_dead_or_cancelled_head_lets_the_next_go: [7] [OrderingKeys];
        whoever_ends_behind_the_head_lets_nobody_pass: [7] [OrderingKeys];
        a_dead_head_blocks_where_the_policy_says_so: [7] [OrderingKeys];
        a_discarded_head_blocks_nobody: [7] [OrderingKeys];
        a_replayed_task_never_runs_beside_another_of_its_key: [7] [OrderingKeys];
        a_poisoned_head_lets_the_next_go: [7] [OrderingKeys];
        a_follow_up_stands_behind_those_who_wait: [7] [OrderingKeys];
        what_fails_whole_leaves_no_head: [7] [OrderingKeys];
        whoever_waits_for_a_queue_is_woken_when_the_next_may_go: [7] [OrderingKeys];
        the_order_of_a_key_holds_across_a_crash: [7] [Durable, OrderingKeys];
        a_paused_scope_holds_its_tasks_present_and_future: [2] [];
        a_head_in_a_paused_scope_blocks_and_is_shown: [7] [OrderingKeys];
        of_many_heads_the_first_are_shown_by_key: [7] [OrderingKeys];
        a_suspect_of_a_paused_scope_keeps_nobody_from_working: [2] [];
        a_paused_scope_stays_paused_after_a_restart: [2] [Durable];
    }
    lanes {
        lanes_share_the_leases_whatever_waits_in_them: [2] [];
        lanes_take_turns_when_there_is_one_lease_at_a_time: [2] [];
        no_lane_has_more_under_way_than_its_limit: [2] [];
        a_rate_lets_tasks_start_as_tokens_come_back: [2] [];
        a_crash_gives_no_token_twice: [2] [Durable];
        a_new_policy_concerns_those_who_wait_and_those_who_run: [2] [];
        a_suspect_keeps_to_the_limits_of_its_lane: [2, 8] [];
        without_fairness_the_first_go_first_within_their_limit: [2] [];
        lanes_keep_order_pauses_and_replays: [2] [OrderingKeys];
        a_tenant_with_a_hundred_times_the_load_does_not_keep_others_waiting: [2] [];
    }
    weights {
        a_task_takes_as_many_tokens_as_it_weighs: [2] [];
        a_named_task_takes_what_it_weighs: [2] [];
        a_weight_stays_with_its_task: [2] [Durable];
        a_task_that_replaces_another_brings_its_weight: [2] [];
        a_task_heavier_than_its_lane_ever_takes_is_refused: [2] [];
        who_lowers_a_limit_for_a_while_turns_no_producer_away: [2] [];
        each_lane_keeps_to_limits_of_its_own: [2] [Durable];
        operators_say_other_limits_which_the_code_does_not_wipe: [2] [Durable];
        operators_may_say_something_before_a_queue_has_a_task_or_a_policy: [2] [];
        no_lane_gets_more_tokens_than_its_rate_in_any_time: [2] [];
    }
    steering {
        a_dead_task_is_replayed_under_its_id: [4] [];
        a_parked_task_goes_on_when_approved_and_ends_when_rejected: [4] [];
        an_unknown_effect_is_resolved_by_a_person: [4] [];
        commands_that_do_not_fit_are_refused: [4] [];
        a_cancelled_task_is_not_leased: [4] [];
        of_two_who_steer_from_one_state_one_alone_does: [4] [];
        a_task_that_moves_by_itself_is_another_one_to_its_operators: [4] [];
        a_look_says_where_a_command_would_lead_and_changes_nothing: [4] [];
    }
    dead {
        a_replay_makes_one_run_however_often_it_is_asked: [4] [];
        a_replay_may_wait_for_its_time: [3, 4] [];
        an_edited_payload_is_checked_and_marked_as_edited: [4, 9] [];
        a_discarded_task_is_cancelled_and_says_why: [4] [];
        an_attempt_names_the_node_that_ran_it: [4] [];
        dead_tasks_are_grouped_by_what_they_died_of: [9] [];
        dead_tasks_are_kept_by_a_rule_of_their_own: [8] [];
    }
    operations {
        a_batch_and_how_far_it_is_are_one_write: [4] [];
        of_two_who_step_on_one_revision_one_alone_acts: [4] [];
        what_no_longer_fits_is_passed_over: [4] [];
        each_kind_does_what_it_says: [4] [];
        operations_are_listed_newest_first: [9] [];
        old_operations_are_forgotten_and_running_ones_never: [8] [];
        an_operation_goes_on_where_a_crash_left_it: [1, 4] [Durable];
        a_deleted_task_is_gone_and_its_key_stays_known: [6] [];
        a_deleted_head_lets_the_next_go: [7] [OrderingKeys];
        a_task_is_rescheduled_while_it_waits: [3] [];
        walks_and_counts_fit_the_filter: [9] [];
    }
    effects {
        a_result_is_returned_instead_of_running_again: [4] [];
        an_unkeyed_effect_without_result_is_unknown: [4] [];
        the_same_step_with_other_content_is_a_conflict: [4] [];
        a_withdrawn_intent_may_run_again: [4] [];
        the_ledger_needs_a_live_lease: [2, 4] [];
        facts_are_relayed_in_commit_order: [4] [];
        desired_states_are_kept: [4] [];
        chosen_slots_are_kept_until_they_are_taken_back: [4] [];
    }
    filters {
        whatever_a_filter_says_what_fits_is_found_and_nothing_else: [9] [];
    }
    looking {
        a_task_reads_back_as_it_was_asked_for: [1] [];
        lists_are_newest_first_and_paged: [9] [];
        pages_hold_what_fits_all_the_while_once_whatever_changes: [9] [];
        filters_fit_every_given_field: [9] [];
        filters_fit_classes_and_times: [9] [];
        counts_follow_every_move: [8] [];
        history_keeps_what_retention_says: [8] [];
        ids_of_other_stores_are_unknown: [2] [];
    }
    time {
        a_scheduled_task_waits_for_its_time: [3] [];
        a_sweep_says_what_is_due_next: [3] [];
        a_deadline_ends_what_waits: [3] [];
        waiters_are_woken_when_a_task_becomes_ready: [3] [];
        a_nearer_due_time_is_announced: [3] [];
        a_closed_store_says_so: [1] [];
    }
    durable {
        what_was_acknowledged_is_there_after_a_crash: [1, 4] [Durable];
        the_next_owner_releases_leases_at_once: [3, 8] [Durable];
        a_lease_of_a_dead_owner_is_stale: [2, 3] [Durable];
        row_numbers_are_never_given_twice: [1] [Durable];
        counts_are_right_after_a_restart: [8] [Durable];
        keys_effects_facts_and_wishes_survive: [1, 4, 6] [Durable];
    }
    schedules {
        a_schedule_is_made_once_and_replaced_by_whoever_read_it: [4] [];
        a_decision_is_written_with_its_tasks: [4, 5] [];
        of_two_who_decided_on_one_state_one_alone_fires: [2, 5] [];
        a_tick_that_is_fired_twice_makes_one_task: [5, 6] [];
        a_refused_task_leaves_the_schedule_undecided: [5, 8] [];
        a_decision_and_its_tasks_survive_together: [1, 5] [Durable];
    }
    access {
        a_principal_is_made_once_and_replaced_by_whoever_read_it: [1] [];
        a_deleted_principal_takes_its_tokens_along: [1] [];
        a_token_is_taken_back_once_and_its_name_is_free_again: [1] [];
        a_mutation_is_written_before_it_is_done_and_when_it_is: [1] [];
        a_request_id_stands_for_one_request_of_one_principal: [1] [];
        a_request_that_did_nothing_may_be_asked_again: [1] [];
        audit_entries_are_found_by_every_field: [1] [];
        the_audit_log_keeps_what_retention_says: [1] [];
        a_request_id_is_forgotten_with_the_mutations_that_are_too_many: [1] [];
        principals_tokens_and_the_audit_log_survive: [1] [Durable];
    }
    app_rows {
        app_rows_commit_with_the_settlement: [4, 5] [AppWrites];
        a_failing_app_write_undoes_its_member_alone: [5] [AppWrites];
        a_panicking_app_write_undoes_its_member_alone: [5] [AppWrites];
        an_endless_app_write_is_interrupted: [5] [AppWrites];
        an_app_write_cannot_end_the_transaction_or_touch_the_platforms_tables: [5] [AppWrites];
        tasks_and_app_rows_come_together_or_not_at_all: [5] [AppWrites];
        app_writes_run_although_every_task_is_known: [5, 6] [AppWrites];
        app_migrations_are_atomic_and_refuse_a_newer_schema: [10] [AppWrites];
    }
}

/// Makes one test of every case of the [suite](crate::suite), in a module of this name. The second argument is an expression that makes a
/// new [`Backend`](crate::suite::Backend) each time.
#[macro_export]
macro_rules! conformance {
    ($module:ident, $backend:expr) => {
        mod $module {
            use super::*;

            $crate::conformance!(@cases $backend;
                a_lease_raises_the_epoch_and_counts_the_attempt
                two_asks_never_get_the_same_task
                a_late_write_of_a_lost_lease_changes_nothing_and_says_so
                an_unknown_lease_is_stale
                an_extended_lease_outlives_its_first_term
                a_lease_that_ran_out_is_swept_and_not_counted_as_an_attempt
                claims_go_by_priority_and_then_by_age
                a_wait_makes_up_for_a_worse_priority
                a_task_that_comes_back_unfinished_keeps_its_place
                one_named_task_can_be_leased
                a_checkpoint_stays_for_the_next_attempt
                a_task_past_its_deadline_is_not_leased_but_dies
                each_outcome_leads_where_the_lifecycle_says
                what_rides_along_commits_with_the_outcome
                a_refused_follow_up_undoes_its_member_alone
                what_rides_along_is_ignored_unless_done
                a_failed_attempt_is_remembered
                settling_twice_is_stale
                each_of_many_keeps_what_is_its_own
                a_retry_without_a_wait_is_ready_at_once
                the_same_key_is_the_same_task
                the_same_key_with_other_content_is_an_error
                a_key_belongs_to_its_queue
                a_key_outlives_its_task_and_its_history
                a_key_is_forgotten_when_its_time_is_over
                a_known_key_is_no_new_task_for_a_full_queue
                a_call_that_fails_whole_leaves_no_key
                a_key_stands_for_its_task_as_long_as_its_window
                a_key_is_remembered_as_long_as_its_window
                an_ignored_task_changes_nothing
                a_waiting_task_takes_what_replaces_it
                nothing_replaces_a_task_that_was_leased
                a_debounced_task_is_put_off_but_not_for_ever
                only_the_same_work_replaces_a_task
                follow_ups_obey_the_policies_of_their_keys
                a_call_that_fails_whole_takes_its_replacements_back
                windows_and_replacements_survive
                a_full_queue_refuses_from_outside_and_takes_follow_ups
                a_full_queue_takes_again_what_fits
                an_oversize_payload_is_refused_alone
                an_oversize_output_or_checkpoint_is_refused
                an_oversize_batch_is_refused_whole
                a_deep_queue_refuses_what_can_wait_and_takes_the_rest_up_to_capacity
                shedding_by_depth_ends_when_a_quarter_is_gone
                a_standing_delay_sheds_and_a_short_one_does_not
                what_was_taken_is_never_dropped
                without_a_policy_nothing_is_shed_and_a_new_one_begins_anew
                a_sweep_sees_a_delay_that_nobody_else_looks_at
                a_lane_that_waits_keeps_nothing_out_of_the_others
                a_hopeless_task_is_ended_while_the_queue_sheds
                nothing_is_late_in_a_paused_queue_and_afterwards_only_since_then
                what_is_asked_for_by_name_is_taken_up_to_capacity
                a_task_that_dies_three_times_with_its_process_is_poison
                an_innocent_beside_a_killer_is_never_blamed
                nothing_is_leased_beside_a_lone_suspect
                a_suspect_comes_to_run_and_others_are_not_stalled_for_ever
                whoever_survives_an_attempt_is_no_longer_suspect
                tasks_of_one_ordering_key_run_one_at_a_time_in_order
                a_task_behind_another_is_not_leased_by_its_id_either
                a_head_that_waits_or_is_parked_blocks_its_key_and_is_shown
                a_head_that_is_not_due_yet_blocks_those_enqueued_after_it
                a_dead_or_cancelled_head_lets_the_next_go
                whoever_ends_behind_the_head_lets_nobody_pass
                a_dead_head_blocks_where_the_policy_says_so
                a_discarded_head_blocks_nobody
                a_replayed_task_never_runs_beside_another_of_its_key
                a_poisoned_head_lets_the_next_go
                a_follow_up_stands_behind_those_who_wait
                what_fails_whole_leaves_no_head
                whoever_waits_for_a_queue_is_woken_when_the_next_may_go
                the_order_of_a_key_holds_across_a_crash
                a_paused_scope_holds_its_tasks_present_and_future
                a_head_in_a_paused_scope_blocks_and_is_shown
                of_many_heads_the_first_are_shown_by_key
                a_suspect_of_a_paused_scope_keeps_nobody_from_working
                a_paused_scope_stays_paused_after_a_restart
                lanes_share_the_leases_whatever_waits_in_them
                lanes_take_turns_when_there_is_one_lease_at_a_time
                no_lane_has_more_under_way_than_its_limit
                a_rate_lets_tasks_start_as_tokens_come_back
                a_crash_gives_no_token_twice
                a_new_policy_concerns_those_who_wait_and_those_who_run
                a_suspect_keeps_to_the_limits_of_its_lane
                without_fairness_the_first_go_first_within_their_limit
                lanes_keep_order_pauses_and_replays
                a_tenant_with_a_hundred_times_the_load_does_not_keep_others_waiting
                a_task_takes_as_many_tokens_as_it_weighs
                a_named_task_takes_what_it_weighs
                a_weight_stays_with_its_task
                a_task_that_replaces_another_brings_its_weight
                a_task_heavier_than_its_lane_ever_takes_is_refused
                who_lowers_a_limit_for_a_while_turns_no_producer_away
                each_lane_keeps_to_limits_of_its_own
                operators_say_other_limits_which_the_code_does_not_wipe
                operators_may_say_something_before_a_queue_has_a_task_or_a_policy
                no_lane_gets_more_tokens_than_its_rate_in_any_time
                a_dead_task_is_replayed_under_its_id
                a_parked_task_goes_on_when_approved_and_ends_when_rejected
                an_unknown_effect_is_resolved_by_a_person
                commands_that_do_not_fit_are_refused
                a_cancelled_task_is_not_leased
                of_two_who_steer_from_one_state_one_alone_does
                a_task_that_moves_by_itself_is_another_one_to_its_operators
                a_look_says_where_a_command_would_lead_and_changes_nothing
                a_replay_makes_one_run_however_often_it_is_asked
                a_replay_may_wait_for_its_time
                an_edited_payload_is_checked_and_marked_as_edited
                a_discarded_task_is_cancelled_and_says_why
                an_attempt_names_the_node_that_ran_it
                dead_tasks_are_grouped_by_what_they_died_of
                dead_tasks_are_kept_by_a_rule_of_their_own
                a_batch_and_how_far_it_is_are_one_write
                of_two_who_step_on_one_revision_one_alone_acts
                what_no_longer_fits_is_passed_over
                each_kind_does_what_it_says
                operations_are_listed_newest_first
                old_operations_are_forgotten_and_running_ones_never
                an_operation_goes_on_where_a_crash_left_it
                a_deleted_task_is_gone_and_its_key_stays_known
                a_deleted_head_lets_the_next_go
                a_task_is_rescheduled_while_it_waits
                walks_and_counts_fit_the_filter
                a_result_is_returned_instead_of_running_again
                an_unkeyed_effect_without_result_is_unknown
                the_same_step_with_other_content_is_a_conflict
                a_withdrawn_intent_may_run_again
                the_ledger_needs_a_live_lease
                facts_are_relayed_in_commit_order
                desired_states_are_kept
                chosen_slots_are_kept_until_they_are_taken_back
                whatever_a_filter_says_what_fits_is_found_and_nothing_else
                a_task_reads_back_as_it_was_asked_for
                lists_are_newest_first_and_paged
                pages_hold_what_fits_all_the_while_once_whatever_changes
                filters_fit_every_given_field
                filters_fit_classes_and_times
                counts_follow_every_move
                history_keeps_what_retention_says
                ids_of_other_stores_are_unknown
                a_scheduled_task_waits_for_its_time
                a_sweep_says_what_is_due_next
                a_deadline_ends_what_waits
                waiters_are_woken_when_a_task_becomes_ready
                a_nearer_due_time_is_announced
                a_closed_store_says_so
                what_was_acknowledged_is_there_after_a_crash
                the_next_owner_releases_leases_at_once
                a_lease_of_a_dead_owner_is_stale
                row_numbers_are_never_given_twice
                counts_are_right_after_a_restart
                keys_effects_facts_and_wishes_survive
                a_schedule_is_made_once_and_replaced_by_whoever_read_it
                a_decision_is_written_with_its_tasks
                of_two_who_decided_on_one_state_one_alone_fires
                a_tick_that_is_fired_twice_makes_one_task
                a_refused_task_leaves_the_schedule_undecided
                a_decision_and_its_tasks_survive_together
                a_principal_is_made_once_and_replaced_by_whoever_read_it
                a_deleted_principal_takes_its_tokens_along
                a_token_is_taken_back_once_and_its_name_is_free_again
                a_mutation_is_written_before_it_is_done_and_when_it_is
                a_request_id_stands_for_one_request_of_one_principal
                a_request_that_did_nothing_may_be_asked_again
                audit_entries_are_found_by_every_field
                the_audit_log_keeps_what_retention_says
                a_request_id_is_forgotten_with_the_mutations_that_are_too_many
                principals_tokens_and_the_audit_log_survive
                app_rows_commit_with_the_settlement
                a_failing_app_write_undoes_its_member_alone
                a_panicking_app_write_undoes_its_member_alone
                an_endless_app_write_is_interrupted
                an_app_write_cannot_end_the_transaction_or_touch_the_platforms_tables
                tasks_and_app_rows_come_together_or_not_at_all
                app_writes_run_although_every_task_is_known
                app_migrations_are_atomic_and_refuse_a_newer_schema
            );
        }
    };
    (@cases $backend:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::suite::run_case(stringify!($name), $backend).await;
            }
        )*

        #[test]
        fn every_case_is_run() {
            let run: &[&str] = &[$(stringify!($name)),*];
            let all: Vec<&str> = $crate::suite::CASES.iter().map(|case| case.name).collect();
            assert_eq!(run, all);
        }
    };
}
