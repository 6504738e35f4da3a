//! Track 0.1 of the contract: `wit/usher.wit`, host side. One file an interface. What is not linked is refused at publish,
//! as solana is in a host built without its feature.

mod context;
mod email;
mod jobs;
mod log;
mod push;
mod sms;
#[cfg(feature = "solana")]
mod solana;
mod stripe;
mod upstream;
mod webhook;

use wasmtime::component::{HasSelf, Linker};

use self::bindings::usher::plugin as wit;
pub(super) use self::bindings::{
    ProcessorPre,
    exports::usher::plugin::handler::{Failure, Job},
};
use super::state::{Halt, State};
use crate::{effects::Stop, journal::Answer};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "usher:plugin/processor",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::types::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::context::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::log::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::progress::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::jobs::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::webhook::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::email::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::sms::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::push::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    #[cfg(feature = "solana")]
    wit::solana::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::stripe::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    wit::upstream::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    Ok(())
}

impl wit::types::Host for State {}

/// What the gate says, for the guest: a final answer, or a trap that it cannot catch.
fn answered(
    state: &mut State,
    passed: Result<Answer, Stop>,
) -> wasmtime::Result<Result<serde_json::Value, wit::types::Error>> {
    use wit::types::{Error, Rejection};
    match passed {
        Ok(Answer::Ok(value)) => Ok(Ok(value)),
        Ok(Answer::Denied(message)) => Ok(Err(Error::Denied(message))),
        Ok(Answer::Invalid(message)) => Ok(Err(Error::Invalid(message))),
        Ok(Answer::Rejected(no)) => {
            Ok(Err(Error::Rejected(Rejection { code: no.code, message: no.message, status: no.status })))
        }
        Err(stop) => {
            state.stop = Some(stop);
            Err(Halt::Stopped.into())
        }
    }
}

/// A recorded answer that the host of today cannot read: a fault of ours, for a person to look at.
fn unreadable(state: &mut State) -> wasmtime::Error {
    state.stop = Some(Stop::Park { message: "the journaled answer is not readable by this host".to_owned() });
    Halt::Stopped.into()
}
