//! `gantry serve`

use anyhow::Context as _;

use crate::args::ServeArgs;

pub(crate) fn run(mut args: ServeArgs) -> anyhow::Result<()> {
    if let Some(listen) = args.listen.take() {
        // Last, so that it wins over everything else.
        args.settings.set.push(format!("server.listen={listen}"));
    }
    let mut config = args.settings.load()?;
    config.admin_password_file = gantry_server::config::admin_password_file();
    gantry_server::config::arm_failpoints()?;
    gantry_server::observe::start_log(&config.settings);
    keep_freed_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // More wait for the disk in vain: it takes their writes together anyway, and each thread costs memory.
        .max_blocking_threads(64)
        .build()
        .context("starting threads")?;
    let reread = || args.settings.load();
    runtime.block_on(gantry_server::serve::serve(config, reread, |greeting| {
        if !args.quiet {
            crate::say(greeting);
        }
    }))?;
    Ok(())
}

/// Tells the allocator not to give every freed buffer back to the system, only to get its pages zeroed again for the next one:
/// that was a third of the processor time of large pushes. glibc takes the size of the first large block that is freed for a
/// hint what is worth keeping.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
}
