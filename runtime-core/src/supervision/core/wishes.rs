//! What operators ask for. What is already so is answered at once; what is under way is turned round, so that of several
//! wishes the last one counts.

use super::SupervisorCore;
use crate::supervision::child::Fate;
use crate::supervision::{ChildPhase, ChildSpec, SupervisedChild};

impl SupervisorCore {
    pub(super) fn add_child(&mut self, spec: ChildSpec) {
        if self.child(&spec.id).is_none() && !self.is_ending() {
            self.children.push(SupervisedChild::new(spec, self.highest_removed));
        }
    }

    /// Stops the child for good (`fate` is [`Fate::AtRest`] or [`Fate::Removed`]), without regard to its siblings
    /// unless they are being stopped in order already.
    pub(super) fn dismiss(&mut self, at: usize, fate: Fate) {
        let child = &mut self.children[at];
        match child.phase {
            ChildPhase::Starting | ChildPhase::Ready | ChildPhase::Stopping | ChildPhase::Killing => {
                let ask = child.is_staying();
                if child.fate != Fate::Removed {
                    child.fate = fate;
                }
                if ask {
                    self.ask_stop(at);
                }
            }
            ChildPhase::Waiting | ChildPhase::BackingOff | ChildPhase::Stopped | ChildPhase::Abandoned => {
                let rest = if child.phase.is_at_rest() { child.phase } else { ChildPhase::Stopped };
                if fate == Fate::Removed { self.remove(at, rest) } else { self.settle(at, rest) }
            }
        }
    }

    pub(super) fn start_child(&mut self, at: usize) {
        if !self.is_ending() {
            let child = &mut self.children[at];
            match child.phase {
                ChildPhase::Stopped | ChildPhase::Abandoned | ChildPhase::BackingOff => {
                    child.failures = 0;
                    child.phase = ChildPhase::Waiting;
                }
                ChildPhase::Starting | ChildPhase::Ready | ChildPhase::Stopping | ChildPhase::Killing => {
                    if child.is_departing() && child.fate != Fate::Removed {
                        child.fate = Fate::StartedAgain;
                    }
                }
                ChildPhase::Waiting => {}
            }
        }
        self.answer(at);
    }

    pub(super) fn restart_child(&mut self, at: usize) {
        let child = &mut self.children[at];
        if child.is_staying() {
            child.failures = 0;
            child.leaving = true;
            child.fate = Fate::StartedAgain;
            self.dismiss_siblings(at);
        } else {
            self.start_child(at);
        }
    }
}
