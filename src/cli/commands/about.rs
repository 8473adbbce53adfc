//! What certroll can tell of itself, and the two commands people type out of habit.

use clap::CommandFactory;
use serde_json::json;

use crate::apply::receipt::RECEIPT_FORMAT;
use crate::cli::args::{Cli, Global};
use crate::cli::exit::Ending;
use crate::cli::json::pretty;
use crate::cli::world::World;
use crate::error::{Error, Kind};
use crate::plan::document::{FORMAT_MAJOR, FORMAT_MINOR};

/// `version`.
pub fn version(global: &Global, world: &World) -> Result<Ending, Error> {
    let version = env!("CARGO_PKG_VERSION");
    if global.is_json() {
        let plan = format!("{FORMAT_MAJOR}.{FORMAT_MINOR}");
        let formats = json!({ "declaration": "v1", "plan": plan, "receipt": RECEIPT_FORMAT });
        world.stdout.write(&pretty(&json!({ "certroll": version, "formats": formats })));
    } else {
        world.stdout.write(&format!("certroll {version}\n"));
    }
    Ok(Ending::Fine)
}

/// `completions`.
pub fn completions(shell: clap_complete::Shell, world: &World) -> Result<Ending, Error> {
    let mut out = world.stdout.clone();
    clap_complete::generate(shell, &mut Cli::command(), "certroll", &mut out);
    Ok(Ending::Fine)
}

/// `man`: the page of certroll, or of one of its commands.
pub fn man(command: Option<&str>, world: &World) -> Result<Ending, Error> {
    let mut root = Cli::command();
    root.build();
    let page = match command {
        None => root,
        Some(name) => match root.find_subcommand(name).filter(|found| !found.is_hide_set()) {
            Some(found) => found.clone(),
            None => return Err(Error::new(Kind::Usage, format!("there is no command {name:?}"))),
        },
    };
    let mut out = world.stdout.clone();
    clap_mangen::Man::new(page)
        .source(concat!("certroll ", env!("CARGO_PKG_VERSION")))
        .manual("certroll manual")
        .render(&mut out)
        .map_err(|error| Error::new(Kind::Local, "writing the manual page").caused_by(&error))?;
    Ok(Ending::Fine)
}

/// `destroy` is what people type who know Terraform.
pub fn not_destroy() -> Error {
    Error::new(Kind::Usage, "certroll has no destroy")
        .because("it never removes a credential because a declaration is gone")
        .hint("list the address under removed: with retire: true, then run certroll plan")
}

/// `import` is what people type who know Terraform.
pub fn not_import() -> Error {
    Error::new(Kind::Usage, "certroll has no import")
        .because("there is no state to import into: what is live is read afresh each time")
        .hint("list the live thumbprint under adopt: of the certificate, then run certroll plan")
}
