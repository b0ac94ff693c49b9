//! The first program of the enclave's image.
//!
//! The kernel unpacks both ramdisks of the image into one root and starts this as `/init`. It
//! mounts what a program expects, loads the kernel modules of the image, tells the parent that the
//! enclave is up, and runs `/cmd` with `/env` inside `/rootfs`. When that program ends, so does the
//! virtual machine. Everything it reads is measured; it takes nothing from outside.
//!
//! `/cmd` holds one argument per line, `/env` one `NAME=VALUE` per line, as images by AWS's tools do.
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code, reason = "system calls that the standard library lacks")]

mod console;
mod heartbeat;
mod lines;
mod modules;
mod mounts;
mod program;

use std::path::Path;

/// What the kernel calls. Not `fn main`: before that, the standard library would open /dev/null in
/// the place of a missing console and abort where there is none yet.
// SAFETY: the one symbol of this name, with the signature that the C library expects.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main() -> libc::c_int {
    let ended = run();
    if let Err(failure) = &ended {
        console::say(failure);
    }
    console::say("the enclave ends");
    end_machine()
}

/// Everything up to the end of the program. Each step is fatal but the heartbeat: without it, the
/// parent gives up on the enclave, not the enclave on itself.
fn run() -> Result<(), String> {
    mounts::early()?;
    console::open();
    modules::load_all(Path::new("/modules"))?;
    if let Err(failure) = heartbeat::beat(Path::new("/heartbeat-cid")) {
        console::say(&failure);
    }
    let command = lines::command(Path::new("/cmd"))?;
    let environment = lines::environment(Path::new("/env"))?;
    mounts::root(Path::new("/rootfs"))?;
    let status = program::run_to_end(&command, &environment)?;
    console::say(&format!("the enclave's program ended: {status}"));
    Ok(())
}

/// Ends the virtual machine. On Nitro and under QEMU (`-no-reboot`), to restart is to end.
fn end_machine() -> ! {
    // SAFETY: takes no pointer.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
    }
    // Only where this is not the first process of a machine.
    std::process::abort()
}
