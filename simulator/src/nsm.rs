//! A simulated Nitro Secure Module: the requests, the registers and the documents of a real one,
//! under a root of its own.
//!
//! Its documents differ from AWS's in the root alone, so they pass the production verifier with
//! that root pinned, and no verifier that pins AWS's.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use dauth_enclave::platform::nsm::NsmDevice;
use dauth_protocol::measurement::Pcr;
use serde_bytes::ByteBuf;

mod chain;
mod document;
mod pki;
mod registers;
mod root;

pub use pki::PkiError;
pub use registers::Measurements;
pub use root::SimulatorRoot;

use chain::Chain;
use document::Claims;
use registers::{MAX_PCRS, Registers};

/// The driver's limits (`/dev/nsm`).
const MAX_REQUEST_BYTES: usize = 0x1000;
const MAX_RESPONSE_BYTES: usize = 0x3000;
const MAX_USER_DATA_BYTES: usize = 512;
const MAX_NONCE_BYTES: usize = 512;
const MAX_PUBLIC_KEY_BYTES: usize = 1024;
const RANDOM_BYTES: usize = 256;

/// Tells the time in Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The NSM of one simulated enclave.
pub struct SimulatedNsm {
    module_id: String,
    root: SimulatorRoot,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    registers: Registers,
    chain: Chain,
}

impl SimulatedNsm {
    /// The NSM of an enclave that has just been started, with PCR0 to PCR15 measured and locked.
    pub fn start(
        measurements: &Measurements,
        root: SimulatorRoot,
        clock: Clock,
    ) -> Result<Self, PkiError> {
        let now_ms = clock();
        let module_id = format!("{}-enc{now_ms:016x}", measurements.instance_id);
        let chain = Chain::mint(&root, &module_id, now_ms / 1000)?;
        Ok(Self {
            module_id,
            root,
            clock,
            state: Mutex::new(State {
                registers: Registers::measured(measurements),
                chain,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step between lock and unlock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe_nsm(&self) -> Response {
        let state = self.state();
        Response::DescribeNSM {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: self.module_id.clone(),
            max_pcrs: MAX_PCRS,
            locked_pcrs: state.registers.locked().map(|(index, _)| index).collect(),
            digest: Digest::SHA384,
        }
    }

    fn attest(&self, claims: &Claims) -> Result<Response, ErrorCode> {
        let now_ms = (self.clock)();
        let mut state = self.state();
        let State { registers, chain } = &mut *state;
        chain
            .renew(&self.root, &self.module_id, now_ms / 1000)
            .map_err(|_| ErrorCode::InternalError)?;
        let document = document::sign(&self.module_id, now_ms, registers, chain, claims)
            .ok_or(ErrorCode::InternalError)?;
        if document.len() > MAX_RESPONSE_BYTES {
            return Err(ErrorCode::BufferTooSmall);
        }
        Ok(Response::Attestation { document })
    }

    fn answer(&self, request: Request) -> Result<Response, ErrorCode> {
        if encoded_length(&request).is_none_or(|length| length > MAX_REQUEST_BYTES) {
            return Err(ErrorCode::InputTooLarge);
        }
        match request {
            Request::DescribePCR { index } => {
                let register = self.state().registers.describe(index)?;
                Ok(Response::DescribePCR {
                    lock: register.locked,
                    data: register.value.as_bytes().to_vec(),
                })
            }
            Request::ExtendPCR { index, data } => {
                let value: Pcr = self.state().registers.extend(index, &data)?;
                Ok(Response::ExtendPCR {
                    data: value.as_bytes().to_vec(),
                })
            }
            Request::LockPCR { index } => {
                self.state().registers.lock(index)?;
                Ok(Response::LockPCR)
            }
            Request::LockPCRs { range } => {
                self.state().registers.lock_range(range)?;
                Ok(Response::LockPCRs)
            }
            Request::DescribeNSM => Ok(self.describe_nsm()),
            Request::Attestation {
                user_data,
                nonce,
                public_key,
            } => self.attest(&Claims {
                user_data: bounded(user_data, MAX_USER_DATA_BYTES)?,
                nonce: bounded(nonce, MAX_NONCE_BYTES)?,
                public_key: bounded(public_key, MAX_PUBLIC_KEY_BYTES)?,
            }),
            Request::GetRandom => {
                let mut random = vec![0; RANDOM_BYTES];
                SystemRandom::new()
                    .fill(&mut random)
                    .map_err(|_| ErrorCode::InternalError)?;
                Ok(Response::GetRandom { random })
            }
            _ => Err(ErrorCode::InvalidOperation),
        }
    }
}

impl NsmDevice for SimulatedNsm {
    fn process(&self, request: Request) -> Response {
        self.answer(request).unwrap_or_else(Response::Error)
    }
}

/// The length of a request as it would cross to the driver.
fn encoded_length(request: &Request) -> Option<usize> {
    let mut bytes = Vec::new();
    ciborium::into_writer(request, &mut bytes).ok()?;
    Some(bytes.len())
}

fn bounded(field: Option<ByteBuf>, max: usize) -> Result<Option<ByteBuf>, ErrorCode> {
    match field {
        Some(field) if field.len() > max => Err(ErrorCode::InputTooLarge),
        field => Ok(field),
    }
}

#[cfg(test)]
mod tests;
