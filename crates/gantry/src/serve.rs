//! `gantry serve`

use anyhow::Context as _;

use crate::args::ServeArgs;

pub(crate) fn run(mut args: ServeArgs) -> anyhow::Result<()> {
    if let Some(listen) = args.listen.take() {
        // Last, so that it wins over everything else.
        args.settings.set.push(format!("server.listen={listen}"));
    }
    let config = args.settings.load()?;
    gantry_server::config::arm_failpoints()?;
    gantry_server::observe::start_log(&config.settings);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(gantry_server::serve::serve(config, |greeting| {
        if !args.quiet {
            print!("{greeting}");
        }
    }))?;
    Ok(())
}
