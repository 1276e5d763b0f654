//! `gantry config check | show | example`

use crate::args::{ConfigArgs, ConfigCommand};

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Check(settings) => {
            settings.load()?;
            crate::say("the configuration is fine\n");
        }
        ConfigCommand::Show(settings) => crate::say(toml::to_string(&settings.load()?.settings)?),
        ConfigCommand::Example => crate::say(gantry_server::config::EXAMPLE),
    }
    Ok(())
}
