//! The emulator knows nothing of the rest of the crate.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_under_the_emulator_imports_another_module_of_the_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/emulator");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "found only {} files", files.len());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let inside = code.replace("crate::emulator", "").replace("pub(crate)", "");
            let leaves = inside.contains("crate::")
                || inside.contains("super::super")
                || inside.contains("certroll::");
            // From the top folder one step up is already outside.
            let above = path.parent() == Some(root.as_path()) && inside.contains("super::");
            assert!(!leaves && !above, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}
