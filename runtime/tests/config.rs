//! The configuration as an operator meets it: what is accepted, and the complete report when it is not.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;

use runtime::App;
use runtime::config::{
    ConfigProblems, ConfigSources, KeyPath, Loaded, NoAppConfig, Origin, ProblemKind, RuntimeConfig,
    SecretRef, StoreKind, Synchronous, config_example, config_schema,
};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

/// A shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ShopConfig {
    /// Name on the receipts.
    shop: String,
    /// Key of the payment provider.
    api_token: Option<SecretRef>,
    /// Lines of one batch.
    batch: NonZeroU16,
    /// Smallest order, in cents; negative for none.
    least_order_cents: i64,
    /// Words that mark an order.
    tags: Vec<String>,
    /// Only look.
    dry_run: bool,
    /// Where orders come from.
    intake: Intake,
    /// Where copies go.
    mirrors: Vec<Mirror>,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            shop: "corner".into(),
            api_token: None,
            batch: NonZeroU16::MIN,
            least_order_cents: 0,
            tags: vec!["order".into()],
            dry_run: false,
            intake: Intake::Maildir { path: "mail".into(), poll_secs: 5 },
            mirrors: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Intake {
    Maildir { path: PathBuf, poll_secs: u64 },
    Imap { host: String, port: u16, password: SecretRef },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mirror {
    host: String,
    password: SecretRef,
}

type Shop = RuntimeConfig<ShopConfig>;

/// One configuration, with a folder of its own for the file.
#[derive(Default)]
struct Given<'g> {
    file: &'g str,
    env: &'g [(&'g str, &'g str)],
    sets: &'g [&'g str],
    names: &'g [(&'g str, &'g [&'g str])],
}

impl Given<'_> {
    fn load(&self) -> Result<Loaded<Shop>, ConfigProblems> {
        self.load_in(&tempfile::tempdir().expect("a folder"))
    }

    fn load_in(&self, folder: &tempfile::TempDir) -> Result<Loaded<Shop>, ConfigProblems> {
        let file = folder.path().join("shop.toml");
        fs::write(&file, self.file).expect("written");
        let owned = |text: &&str| (*text).to_owned();
        ConfigSources {
            file: Some(file),
            default_file: None,
            document: None,
            env: self.env.iter().map(|(name, text)| (owned(name), owned(text))).collect(),
            sets: self.sets.iter().map(owned).collect(),
            names: self
                .names
                .iter()
                .map(|(key, names)| (owned(key), names.iter().map(owned).collect()))
                .collect(),
        }
        .load()
    }

    fn report(&self) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let problems = self.load_in(&folder).expect_err("a configuration with problems");
        self.without(&folder, problems.to_string())
    }

    fn shown(&self) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let loaded = self.load_in(&folder).expect("a configuration without problems");
        self.without(&folder, loaded.show(true))
    }

    fn without(&self, folder: &tempfile::TempDir, text: String) -> String {
        text.replace(&format!("{}/", folder.path().display()), "")
    }
}

/// Every report of a table of cases, one after the other.
fn reports(cases: &[(&str, Given<'_>)]) -> String {
    cases.iter().map(|(name, given)| format!("== {name}\n{}\n\n", given.report())).collect()
}

#[test]
fn all_problems_are_reported_at_once_with_key_origin_value_and_expectation() {
    let given = Given {
        file: r#"
[runtime]
grace_secs = "thirty"
data_dri = "x"

[store]
kind = "sqlit"
queue_capacity = 0
history_retention_days = -1

[admin]
listen = "localhost"

[telemetry]
sample_ratio = 1.5
log_filter = "info,=="
otlp_endpoint = "127.0.0.1:4317"

[workers.orders]
slots = 0
timeout = 5

[sources.mail]
enabled = "yes"

[app]
batch = 70000
tags = ["a", 3]
dry_run = 1
"#,
        env: &[
            ("RUNTIME__STORE__PAHT", "x"),
            ("RUNTIME__WORK__THREADS", "many"),
            ("HOME", "/"),
            ("RUNTIME_X", "y"),
        ],
        sets: &["app.least_order_cents=cheap", "telemetery.sample_ratio=1", "sample_ratio=1"],
        ..Given::default()
    };
    insta::assert_snapshot!("everything_wrong", given.report());
}

#[test]
fn each_kind_of_mistake_has_its_report() {
    let cases = [
        ("not TOML", Given { file: "[store]\nkind = \"memory\nx", ..Given::default() }),
        ("a key twice", Given { file: "[app]\nshop = \"a\"\nshop = \"b\"\n", ..Given::default() }),
        ("a value in place of a section", Given { file: "store = 3\n", ..Given::default() }),
        ("a section in place of a value", Given { file: "[app.shop]\nname = 1\n", ..Given::default() }),
        (
            "a float in place of a whole number",
            Given { file: "runtime.grace_secs = 1.5\n", ..Given::default() },
        ),
        ("a float that is whole", Given { file: "runtime.grace_secs = 30.0\n", ..Given::default() }),
        ("no number at all", Given { file: "[telemetry]\nsample_ratio = nan\n", ..Given::default() }),
        (
            "an item of an array of tables",
            Given {
                file: "[[app.mirrors]]\nhost = \"a\"\npassword = \"env:PATH\"\n\n[[app.mirrors]]\nhost = 1\n",
                ..Given::default()
            },
        ),
        (
            "an inline table",
            Given { file: "[app]\nintake = { kind = \"maildir\", path = 1 }", ..Given::default() },
        ),
        ("a choice misspelt", Given { sets: &["app.intake.kind=maildri"], ..Given::default() }),
        (
            "a tag without its keys",
            Given { file: "[app.intake]\nkind = \"imap\"\nprot = 1\n", ..Given::default() },
        ),
        (
            "a name that the app does not have",
            Given {
                file: "[workers.ordres]\nslots = 2\n",
                sets: &["workers.orders.slots=3"],
                names: &[("workers", &["orders", "replies"])],
                ..Given::default()
            },
        ),
        (
            "names that break their rule",
            Given {
                file: "[workers.\"Big Orders\"]\nslots = 2\n",
                sets: &["runtime.instance="],
                ..Given::default()
            },
        ),
        ("malformed --set", Given { sets: &["app.shop", "=1", "a..b=1", "app.=1"], ..Given::default() }),
        (
            "malformed variables",
            Given { env: &[("RUNTIME__", "1"), ("RUNTIME__APP____SHOP", "1")], ..Given::default() },
        ),
        (
            "the same key in every layer",
            Given {
                file: "app.shp = 1\n",
                env: &[("RUNTIME__APP__SHP", "2")],
                sets: &["app.shp=3"],
                ..Given::default()
            },
        ),
    ];
    insta::assert_snapshot!("kinds_of_mistakes", reports(&cases));
}

#[test]
fn a_file_that_was_asked_for_must_exist_and_a_default_one_need_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.toml");
    let asked = ConfigSources { file: Some(missing.clone()), ..ConfigSources::default() };
    let problems = asked.load::<Shop>().expect_err("a missing file");
    let [problem] = problems.iter().collect::<Vec<_>>()[..] else { panic!("{problems}") };
    assert_eq!(problem.origin, Origin::File { path: missing.clone(), line: None });
    assert!(
        matches!(&problem.kind, ProblemKind::Unreadable(why) if why.contains("No such file")),
        "{problem}"
    );

    let by_default = ConfigSources { default_file: Some(missing.clone()), ..ConfigSources::default() };
    assert_eq!(by_default.load::<Shop>().expect("the defaults").value, Shop::default());

    fs::write(&missing, "[runtime]\ngrace_secs = 7\n").expect("written");
    assert_eq!(by_default.load::<Shop>().expect("the file").value.runtime.grace_secs, 7);
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let file =
        "[runtime]\ngrace_secs = 1\ninstance = \"file\"\n[workers.orders]\nslots = 1\nmax_attempts = 9\n";
    let env = [("RUNTIME__RUNTIME__GRACE_SECS", "2"), ("RUNTIME__WORKERS__ORDERS__SLOTS", "2")];
    let sets = ["runtime.grace_secs=3", "runtime.grace_secs=4"];
    let grace = |given: Given<'_>| given.load().expect("valid").value.runtime.grace_secs;
    assert_eq!(grace(Given::default()), 30);
    assert_eq!(grace(Given { file, ..Given::default() }), 1);
    assert_eq!(grace(Given { file, env: &env, ..Given::default() }), 2);
    assert_eq!(grace(Given { file, env: &env, sets: &sets, ..Given::default() }), 4);

    let merged = Given { file, env: &env, sets: &sets, ..Given::default() }.load().expect("valid").value;
    assert_eq!(merged.runtime.instance.as_ref().map(|name| name.as_str()), Some("file"));
    let orders = &merged.workers["orders"];
    assert_eq!(
        (orders.slots.map(Into::into), orders.max_attempts.map(Into::into)),
        (Some(2usize), Some(9u32))
    );
    assert_eq!(orders.timeout_secs, None);
}

#[test]
fn text_from_the_command_line_takes_the_type_that_the_key_asks_for() {
    let sets = [
        "runtime.instance=42",
        "app.shop=\"quoted, with = and 'quotes'\"",
        "app.tags=[\"a\", 'b']",
        "app.dry_run=true",
        "app.least_order_cents=-5",
        "telemetry.sample_ratio=1",
        "store.kind=memory",
        "store.synchronous=normal_may_lose_acknowledged_tasks",
        "admin.listen=[::1]:0",
        "workers.\"order-intake\".slots=3",
        "workers.order-intake.timeout_secs=60",
        "app.intake={ kind = \"imap\", host = \"h\", port = 993, password = \"env:PATH\" }",
    ];
    let value = Given { sets: &sets, ..Given::default() }.load().expect("valid").value;
    assert_eq!(value.runtime.instance.as_ref().map(|name| name.as_str()), Some("42"));
    assert_eq!(value.app.shop, "quoted, with = and 'quotes'");
    assert_eq!(value.app.tags, ["a", "b"]);
    assert!(value.app.dry_run);
    assert_eq!(value.app.least_order_cents, -5);
    assert_eq!(value.telemetry.sample_ratio, 1.0);
    assert_eq!(value.store.kind, StoreKind::Memory);
    assert_eq!(value.store.synchronous, Synchronous::NormalMayLoseAcknowledgedTasks);
    assert_eq!(value.admin.listen.to_string(), "[::1]:0");
    let worker = &value.workers["order-intake"];
    assert_eq!(
        (worker.slots.map(Into::into), worker.timeout_secs.map(Into::into)),
        (Some(3usize), Some(60u64))
    );
    // The keys of the intake that is built in went with it.
    let password = SecretRef::Env("PATH".into());
    assert_eq!(value.app.intake, Intake::Imap { host: "h".into(), port: 993, password });
}

#[test]
fn text_from_the_environment_takes_the_type_that_the_key_asks_for() {
    let env = [
        ("RUNTIME__RUNTIME__INSTANCE", "42"),
        ("RUNTIME__APP__SHOP", "no \"quotes\" needed"),
        ("RUNTIME__APP__TAGS", "[\"a\"]"),
        ("RUNTIME__APP__DRY_RUN", "true"),
        ("RUNTIME__APP__INTAKE__POLL_SECS", " 9 "),
        ("runtime__app__shop", "another program's"),
    ];
    let value = Given { env: &env, ..Given::default() }.load().expect("valid").value;
    assert_eq!(value.runtime.instance.as_ref().map(|name| name.as_str()), Some("42"));
    assert_eq!(value.app.shop, "no \"quotes\" needed");
    assert_eq!(value.app.tags, ["a"]);
    assert!(value.app.dry_run);
    assert_eq!(value.app.intake, Intake::Maildir { path: "mail".into(), poll_secs: 9 });
}

#[test]
fn the_effective_configuration_says_where_each_value_comes_from() {
    let given = Given {
        file: "app.shop = \"file\"\n\n[store]\nkind = \"memory\"\n\n[workers.orders]\nslots = 8\n",
        env: &[("RUNTIME__APP__API_TOKEN", "file:secrets/token")],
        sets: &["runtime.grace_secs=5", "app.tags=[\"a\"]"],
        ..Given::default()
    };
    insta::assert_snapshot!("effective", given.shown());
    let loaded = given.load().expect("valid");
    let setting = |key: &str| {
        let key = KeyPath::new(key.split('.'));
        loaded.settings().iter().find(|setting| setting.key == key).expect("a setting")
    };
    assert!(matches!(setting("workers.orders.slots").origin, Origin::File { line: Some(7), .. }));
    assert_eq!(setting("runtime.grace_secs").origin, Origin::Set { position: 1 });
    assert_eq!(setting("workers.orders.timeout_secs").origin, Origin::Default);
    assert_eq!(setting("workers.orders.timeout_secs").value, None);
}

#[test]
fn what_is_shown_loads_to_the_same_values() {
    let sets =
        ["app.shop=a \"b\" # c", "workers.\"a.b\".slots=2", "app.mirrors=[{host='h', password='env:PATH'}]"];
    let first = Given { sets: &sets, ..Given::default() }.load().expect("valid");
    let again =
        Given { file: &first.show(true), ..Given::default() }.load().expect("what was shown is valid");
    assert_eq!(again.value, first.value);
    let plain =
        Given { file: &first.show(false), ..Given::default() }.load().expect("what was shown is valid");
    assert_eq!(plain.value, first.value);
}

#[test]
fn the_example_changes_nothing_and_is_valid_when_switched_on() {
    let example = config_example::<Shop>();
    insta::assert_snapshot!("example", example);
    let off = Given { file: &example, ..Given::default() }.load().expect("valid");
    assert_eq!(off.value, Shop::default());

    let switched_on: String = config_example::<RuntimeConfig<NoAppConfig>>()
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("example.toml");
    fs::write(&file, &switched_on).expect("written");
    let on =
        ConfigSources { file: Some(file), ..ConfigSources::default() }.load::<RuntimeConfig<NoAppConfig>>();
    let on = on.unwrap_or_else(|problems| panic!("{problems}\n{switched_on}")).value;
    assert!(
        on.telemetry.otlp_endpoint.is_some() && on.store.path.is_some() && on.workers.contains_key("name")
    );
}

#[test]
fn the_schema_documents_every_key_of_the_platform() {
    let schema: serde_json::Value = serde_json::from_str(&config_schema::<Shop>()).expect("JSON");
    let sections = schema["$defs"].as_object().expect("definitions");
    let mut undocumented = Vec::new();
    for (section, definition) in sections {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                undocumented.push(format!("{section}.{key}"));
            }
        }
    }
    // A type of this test that says nothing of its keys: the check can fail.
    assert_eq!(undocumented, ["Mirror.host", "Mirror.password"]);
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_secret_written_down_is_refused_and_never_repeated() {
    const CANARY: &str = "canary-7f3a";
    let quoted = format!("\"{CANARY}\"");
    let files = [
        format!("[app]\napi_token = {quoted}\n"),
        format!("[app]\napi_tokn = {quoted}\n"),
        format!("[app]\napi_token = [{quoted}]\n"),
        format!("[app]\napi_token = {{ value = {quoted} }}\n"),
        format!("app = {quoted}\n"),
        format!("[app]\nmirrors = [{{ host = \"h\", password = {quoted} }}]\n"),
        format!("[app]\nmirrors = {quoted}\n"),
        format!("[app]\nintake = {quoted}\n"),
        format!("[app]\napi_token = \"{CANARY}\nshop = 1\n"),
        format!("[app]\napi_token = {quoted} {CANARY}\n"),
    ];
    let envs = [
        [("RUNTIME__APP__API_TOKEN", CANARY)],
        [("RUNTIME__APP__API_TOKN", CANARY)],
        [("RUNTIME__APP", CANARY)],
    ];
    let sets = [
        format!("app={{ api_token = \"{CANARY}\", shp = \"{CANARY}\" }}"),
        format!("app.api_token={CANARY}"),
        format!("app.intake={{ kind = \"imap\", host = \"h\", port = \"x\", password = \"{CANARY}\" }}"),
        format!("app.api_token {CANARY}"),
    ];
    let sets: Vec<[&str; 1]> = sets.iter().map(|set| [set.as_str()]).collect();
    let in_files = files.iter().map(|file| Given { file, ..Given::default() });
    let in_envs = envs.iter().map(|env| Given { env, ..Given::default() });
    let in_sets = sets.iter().map(|sets| Given { sets, ..Given::default() });
    for given in in_files.chain(in_envs).chain(in_sets) {
        let problems = given.load().expect_err("a secret in the configuration");
        let told = format!("{problems} {problems:?}");
        assert!(!told.contains(CANARY), "{told}");
    }
}

#[test]
fn a_secret_by_reference_never_shows_what_it_refers_to() {
    const CANARY: &str = "canary-91bc";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    fs::write(&path, CANARY).expect("written");
    let set = format!("app.api_token=file:{}", path.display());
    let loaded = Given { sets: &[&set], ..Given::default() }.load().expect("valid");
    let token = loaded.value.app.api_token.as_ref().expect("a reference").resolve().expect("a secret");
    assert_eq!(token.expose_secret(), CANARY);
    let told = format!(
        "{token:?} {loaded:?} {} {} {} {}",
        loaded.show(true),
        serde_json::to_string(&loaded.value).expect("JSON"),
        config_example::<Shop>(),
        config_schema::<Shop>(),
    );
    assert!(!told.contains(CANARY), "{told}");
    assert!(loaded.show(true).contains("app.api_token = \"file:"), "the reference itself may be shown");
}

#[test]
fn an_app_without_settings_takes_none() {
    let sources = ConfigSources { sets: vec!["app.x=1".into()], ..ConfigSources::default() };
    let problems = sources.load::<RuntimeConfig<NoAppConfig>>().expect_err("an unknown key");
    let [problem] = problems.iter().collect::<Vec<_>>()[..] else { panic!("{problems}") };
    assert_eq!((problem.key.to_string().as_str(), &problem.kind), ("app.x", &ProblemKind::UnknownKey));

    let names = BTreeMap::from([("sources".to_owned(), vec!["mail".to_owned()])]);
    let sources =
        ConfigSources { sets: vec!["sources.mail.enabled=false".into()], names, ..ConfigSources::default() };
    let loaded = sources.load::<RuntimeConfig<NoAppConfig>>().expect("valid");
    assert!(!loaded.value.sources["mail"].enabled);
}

#[test]
fn of_very_many_problems_a_hundred_are_told_and_that_there_are_more() {
    let load = |document: String| {
        let sources = ConfigSources { document: Some(document), ..ConfigSources::default() };
        sources.load::<RuntimeConfig<NoAppConfig>>().expect_err("problems")
    };
    let workers = |number: usize, of: &str| {
        (0..number).fold("[workers]\n".to_owned(), |text, at| text + &format!("w{at}.{of}\n"))
    };
    // Those that the schema finds, and those that the type alone does.
    for of in ["slots = 'x'", "slots = 0", "pots = 1"] {
        let problems = load(workers(101, of));
        assert_eq!(problems.iter().len(), 101, "{of}");
        let first = problems.iter().next().expect("one");
        assert_eq!(first.kind.to_string(), "there are more problems than 100: mend these first");
        assert_eq!(load(workers(100, of)).iter().len(), 100, "{of}");
    }
}

#[test]
fn a_check_refuses_an_address_that_a_start_would_refuse() {
    let ends = |address: &str| {
        let set = format!("admin.listen={address}");
        format!("{:?}", App::named("shop").run_with(["shop", "config", "check", "--set", &set]))
    };
    assert_eq!(ends("127.0.0.1:7070"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(ends("0.0.0.0:7070"), format!("{:?}", ExitCode::from(3)));
}
