//! Whether files may be written below a folder, asked of the system without writing one.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::may::May;

const HINT: &str = "let the user that certroll runs as write there";

/// The answer for a folder that need not exist yet: then the one above it in which it would be made decides.
pub(crate) fn may_write(folder: &Path) -> May {
    let Ok(folder) = std::path::absolute(folder) else { return May::NotTold };
    for here in folder.ancestors() {
        let shown = here.display();
        match here.metadata() {
            Ok(found) if !found.is_dir() => return May::no(format!("{shown} is no folder"), HINT),
            Ok(_) => {
                return match accessat(CWD, here, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
                    Ok(()) => May::Yes,
                    Err(error) => May::no(format!("{shown}: {}", std::io::Error::from(error).kind()), HINT),
                };
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return May::no(format!("{shown}: {}", error.kind()), HINT),
        }
    }
    May::NotTold
}
