//! `gantry config check | show | example`

use crate::args::{ConfigArgs, ConfigCommand};

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Check(settings) => {
            settings.load()?;
            println!("the configuration is fine");
        }
        ConfigCommand::Show(settings) => print!("{}", toml::to_string(&settings.load()?.settings)?),
        ConfigCommand::Example => print!("{}", gantry_server::config::EXAMPLE),
    }
    Ok(())
}
