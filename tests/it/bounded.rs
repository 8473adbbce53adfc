//! Hostile files under limits that the kernel holds: each command ends in an error that names the file, within seconds of processor time
//! and a fraction of the memory that the file pretends to need. Whoever exceeds a limit is killed or aborts, and has no exit code 1.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DECLARATION: &str = "\
certroll: v1
owner: platform
tenants: { contoso: { cloud: emulator } }
stores: { keys: { kind: file, directory: secrets } }
certificates:
  billing:
    application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }
    store: keys
";

const SEED: &str = r#"{ "tenants": { "contoso": { "existing": [
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "Billing" } ] } } }"#;

/// Writable memory of the process, its stacks included, in KiB.
const DATA_KIB: u32 = 192 * 1024;

/// Processor time in seconds, for a build without optimisation.
const PROCESSOR_SECONDS: u32 = 20;

const LARGE_BYTES: u64 = 100 * 1024 * 1024;

struct Ended {
    code: Option<i32>,
    said: String,
}

struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Scene {
        let scene = Scene(tempfile::tempdir().unwrap());
        scene.write("certroll.yaml", DECLARATION.as_bytes());
        scene.write("emulator-seed.json", SEED.as_bytes());
        scene
    }

    /// With a generation in the store.
    fn applied() -> Scene {
        let scene = Scene::new();
        let ended = scene.run("apply --emulator --auto-approve");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.at(name), bytes).unwrap();
    }

    /// The real binary under the limits.
    fn run(&self, args: &str) -> Ended {
        let script = format!(
            "ulimit -d {DATA_KIB} -t {PROCESSOR_SECONDS}; exec {} {args}",
            env!("CARGO_BIN_EXE_certroll")
        );
        let mut command = Command::new("/bin/sh");
        command.env_clear().current_dir(self.0.path()).args(["-c", &script]).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        Ended { code: output.status.code(), said: String::from_utf8(said).unwrap() }
    }

    /// Runs into a hostile file and says so.
    fn refuses(&self, args: &str, name: &str, code: i32) {
        let ended = self.run(args);
        let start: String = ended.said.chars().take(2000).collect();
        assert_eq!(ended.code, Some(code), "{args} with a hostile {name}: {start}");
        assert!(ended.said.contains(name), "{args}: {name} is not named: {start}");
        assert!(ended.said.len() < 8000, "{args}: {} bytes of error about {name}", ended.said.len());
    }
}

/// A file that certroll reads.
struct Reader {
    scene: Scene,
    path: String,
    /// The command that reads it.
    args: &'static str,
    /// How that ends.
    code: i32,
}

/// All that a declaration, its neighbours, the store and the command line can bring in.
fn readers() -> Vec<Reader> {
    let error = |scene: Scene, path: &str, args| Reader { scene, path: path.to_owned(), args, code: 1 };
    let with_state = Scene::new();
    std::fs::create_dir(with_state.at(".certroll")).unwrap();
    let with_provider = Scene::new();
    let issuers = "issuers: { theirs: { kind: external_public_key, files: [theirs.pem] } }\ncertificates:";
    let provided = DECLARATION.replace("certificates:", issuers).replace("store: keys", "issuer: theirs");
    with_provider.write("certroll.yaml", provided.as_bytes());
    let applied = Scene::applied();
    let record = one(&applied.at("secrets/billing/generations")).join("record.json");
    let record = record.strip_prefix(applied.0.path()).unwrap().to_str().unwrap().to_owned();
    vec![
        error(Scene::new(), "certroll.yaml", "validate"),
        error(Scene::new(), "acknowledgements.yaml", "validate"),
        error(Scene::new(), "saved.json", "show saved.json"),
        error(Scene::new(), "saved.json", "apply --emulator saved.json"),
        error(Scene::new(), "emulator-seed.json", "plan"),
        error(with_state, ".certroll/emulator.json", "plan"),
        error(with_provider, "theirs.pem", "validate"),
        Reader { scene: applied, path: record, args: "plan --detailed-exitcode", code: 1 },
    ]
}

fn one(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).unwrap();
    entries.next().unwrap().unwrap().path()
}

/// Puts each of those contents in each reader's way.
fn every_reader_refuses(contents: &[Content]) {
    for Reader { scene, path, args, code } in readers() {
        let name = Path::new(&path).file_name().unwrap().to_str().unwrap();
        for content in contents {
            content(&scene.at(&path)).unwrap();
            scene.refuses(args, name, code);
        }
    }
}

type Content = fn(&Path) -> std::io::Result<()>;

#[test]
fn no_file_of_100_megabytes_takes_memory_or_time() {
    every_reader_refuses(&[|path| std::fs::File::create(path)?.set_len(LARGE_BYTES)]);
}

#[test]
fn no_file_of_ten_thousand_levels_takes_memory_or_time() {
    every_reader_refuses(&[
        |path| std::fs::write(path, ["[".repeat(10_000), "]".repeat(10_000)].concat()),
        |path| std::fs::write(path, [r#"{"a":"#.repeat(10_000), "1".to_owned(), "}".repeat(10_000)].concat()),
        |path| std::fs::write(path, "[".repeat(10_000)),
    ]);
}

#[test]
fn no_file_that_is_not_text_is_taken_for_one() {
    every_reader_refuses(&[
        |path| std::fs::write(path, b"certroll: v1\nowner: \xFF\xFE\n"),
        |path| std::fs::write(path, b"\xFF\xFEc\0e\0r\0t\0r\0o\0l\0l\0:\0 \0v\x001\0"),
        |path| std::fs::write(path, [0; 64]),
    ]);
}

#[test]
fn aliases_that_multiply_take_no_memory() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    for name in ["certroll.yaml", "acknowledgements.yaml"] {
        let scene = Scene::new();
        scene.write(name, format!("certroll: v1\n{bomb}").as_bytes());
        scene.refuses("validate", name, 1);
    }
}

#[test]
fn no_number_of_mistakes_on_a_line_or_in_a_file_takes_memory_or_time() {
    let many = 300_000;
    let adopted = |values: String| format!("{DECLARATION}    adopt: [{values}a]\n");
    for (what, text) in [
        ("values of one line", adopted("a,".repeat(many))),
        (
            "values of one line that are not shown",
            format!("{DECLARATION}    adopt: [{}a]\n", "{password: x},".repeat(50_000)),
        ),
        ("letters of two bytes on one line", adopted("é,".repeat(many))),
        (
            "keys nobody knows",
            format!("{DECLARATION}{}", (0..many).map(|key| format!("x{key}: 1\n")).collect::<String>()),
        ),
        ("keys that stand there twice", format!("{DECLARATION}{}", "x: 1\n".repeat(many))),
        (
            "bad certificates",
            format!("{DECLARATION}{}", (0..many).map(|key| format!("  x{key}: 1\n")).collect::<String>()),
        ),
    ] {
        let scene = Scene::new();
        scene.write("certroll.yaml", text.as_bytes());
        for args in ["validate", "validate --json"] {
            let ended = scene.run(args);
            let start: String = ended.said.chars().take(2000).collect();
            assert_eq!(ended.code, Some(1), "{what}: {start}");
            assert!(ended.said.len() < 1_000_000, "{what}: {args} says {} bytes", ended.said.len());
            assert!(ended.said.contains(" more errors, not shown") || args != "validate", "{what}: {start}");
        }
    }
}

#[test]
fn of_many_mistakes_the_first_hundred_are_shown_and_the_rest_counted() {
    let scene = Scene::new();
    let keys: String = (0..130).map(|key| format!("x{key}: 1\n")).collect();
    scene.write("certroll.yaml", format!("{DECLARATION}{keys}").as_bytes());
    let ended = scene.run("validate");
    assert!(
        ended.said.contains("unknown key `x99`") && !ended.said.contains("unknown key `x100`"),
        "{}",
        ended.said
    );
    assert!(ended.said.contains("error: and 30 more errors, not shown"), "{}", ended.said);
    assert!(ended.said.contains("the declaration has 130 errors"), "{}", ended.said);
}
