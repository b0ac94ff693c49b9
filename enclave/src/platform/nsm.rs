//! The attester over an NSM, whatever answers its requests.
mod device;

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use dauth_protocol::measurement::Pcr;
use serde_bytes::ByteBuf;
use zeroize::Zeroize;

use super::{Attester, AttesterError, Claims, PcrState};
pub use device::{NitroDevice, OpenNsmError};

/// AWS's documents disagree on 512 or 1024; what keeps to 512 is right by both.
const MAX_USER_DATA_BYTES: usize = 512;
const MAX_NONCE_BYTES: usize = 512;
const MAX_PUBLIC_KEY_BYTES: usize = 1024;
/// The driver's buffer for a response.
const MAX_RESPONSE_BYTES: usize = 0x3000;
/// What one GetRandom yields.
const MAX_RANDOM_BYTES: usize = 256;

/// What answers the requests of the NSM API.
pub trait NsmDevice: Send + Sync + 'static {
    /// One request, one response; an error is a response too.
    fn process(&self, request: Request) -> Response;
}

/// An [`Attester`] that asks an NSM, and believes no response that it did not ask for.
pub struct NsmAttester<D> {
    device: D,
}

impl<D: NsmDevice> NsmAttester<D> {
    /// An attester over `device`.
    pub fn new(device: D) -> Self {
        Self { device }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }
}

impl<D: NsmDevice> Attester for NsmAttester<D> {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        let request = Request::Attestation {
            user_data: optional(&claims.user_data, MAX_USER_DATA_BYTES)?,
            nonce: optional(&claims.nonce, MAX_NONCE_BYTES)?,
            public_key: optional(&claims.public_key, MAX_PUBLIC_KEY_BYTES)?,
        };
        match self.device.process(request) {
            Response::Attestation { document }
                if (1..=MAX_RESPONSE_BYTES).contains(&document.len()) =>
            {
                Ok(document)
            }
            other => Err(refusal(&other)),
        }
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), AttesterError> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let mut random = match self.device.process(Request::GetRandom) {
                // An empty answer would be asked for without end.
                Response::GetRandom { random }
                    if (1..=MAX_RANDOM_BYTES).contains(&random.len()) =>
                {
                    random
                }
                other => return Err(refusal(&other)),
            };
            let (chunk, later) = rest.split_at_mut(random.len().min(rest.len()));
            for (to, from) in chunk.iter_mut().zip(&random) {
                *to = *from;
            }
            rest = later;
            // Keys are made of these bytes.
            random.zeroize();
        }
        Ok(())
    }

    fn describe_pcr(&self, index: u16) -> Result<PcrState, AttesterError> {
        match self.device.process(Request::DescribePCR { index }) {
            Response::DescribePCR { lock, data } => Ok(PcrState {
                value: pcr(&data)?,
                locked: lock,
            }),
            other => Err(refusal(&other)),
        }
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Pcr, AttesterError> {
        let data = data.to_vec();
        match self.device.process(Request::ExtendPCR { index, data }) {
            Response::ExtendPCR { data } => pcr(&data),
            other => Err(refusal(&other)),
        }
    }

    fn lock_pcrs(&self, end: u16) -> Result<(), AttesterError> {
        match self.device.process(Request::LockPCRs { range: end }) {
            Response::LockPCRs => Ok(()),
            other => Err(refusal(&other)),
        }
    }
}

/// An empty field is left out of the document.
fn optional(field: &[u8], max: usize) -> Result<Option<ByteBuf>, AttesterError> {
    match field.len() {
        0 => Ok(None),
        length if length <= max => Ok(Some(ByteBuf::from(field))),
        _ => Err(AttesterError::Refused),
    }
}

fn pcr(data: &[u8]) -> Result<Pcr, AttesterError> {
    let bytes: [u8; 48] = data.try_into().map_err(|_| AttesterError::Protocol)?;
    Ok(Pcr::from(bytes))
}

/// Why a response is not the one asked for.
fn refusal(response: &Response) -> AttesterError {
    match response {
        Response::Error(ErrorCode::ReadOnlyIndex) => AttesterError::Locked,
        // The driver answers this where the ioctl failed: the device is gone or stuck.
        Response::Error(ErrorCode::InternalError) => AttesterError::Unavailable,
        Response::Error(ErrorCode::Success) => AttesterError::Protocol,
        Response::Error(_) => AttesterError::Refused,
        _ => AttesterError::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives the responses prepared, in their order, then none.
    struct Prepared(Mutex<Vec<Response>>);

    impl NsmDevice for Prepared {
        fn process(&self, _: Request) -> Response {
            let mut responses = self.0.lock().expect("lock");
            if responses.is_empty() {
                Response::Error(ErrorCode::InternalError)
            } else {
                responses.remove(0)
            }
        }
    }

    fn prepared(responses: Vec<Response>) -> NsmAttester<Prepared> {
        NsmAttester::new(Prepared(Mutex::new(responses)))
    }

    #[test]
    fn another_response_than_asked_for_is_refused() {
        let nsm = prepared(vec![
            Response::LockPCR,
            Response::LockPCR,
            Response::LockPCR,
            Response::LockPCR,
            Response::LockPCR,
        ]);
        let protocol = AttesterError::Protocol;
        assert_eq!(nsm.attest(&Claims::default()), Err(protocol));
        assert_eq!(nsm.random(&mut [0; 1]), Err(protocol));
        assert_eq!(nsm.describe_pcr(0), Err(protocol));
        assert_eq!(nsm.extend_pcr(16, b""), Err(protocol));
        assert_eq!(nsm.lock_pcrs(32), Err(protocol));
        assert_eq!(nsm.lock_pcrs(32), Err(AttesterError::Unavailable));
    }

    #[test]
    fn a_response_of_the_wrong_size_is_refused() {
        let nsm = prepared(vec![
            Response::Attestation { document: vec![] },
            Response::Attestation {
                document: vec![0; MAX_RESPONSE_BYTES + 1],
            },
            Response::DescribePCR {
                lock: true,
                data: vec![0; 47],
            },
            Response::ExtendPCR { data: vec![0; 49] },
            Response::GetRandom { random: vec![] },
            Response::GetRandom {
                random: vec![0; 257],
            },
        ]);
        let protocol = AttesterError::Protocol;
        assert_eq!(nsm.attest(&Claims::default()), Err(protocol));
        assert_eq!(nsm.attest(&Claims::default()), Err(protocol));
        assert_eq!(nsm.describe_pcr(0), Err(protocol));
        assert_eq!(nsm.extend_pcr(16, b""), Err(protocol));
        assert_eq!(nsm.random(&mut [0; 1]), Err(protocol));
        assert_eq!(nsm.random(&mut [0; 1]), Err(protocol));
    }

    #[test]
    fn random_fills_across_chunks() {
        let random = |byte, length| Response::GetRandom {
            random: vec![byte; length],
        };
        let nsm = prepared(vec![random(1, 256), random(2, 3), random(3, 256)]);
        let mut buffer = [0; 260];
        nsm.random(&mut buffer).expect("three chunks");
        assert_eq!(&buffer[..256], &[1; 256]);
        assert_eq!(&buffer[256..], &[2, 2, 2, 3]);
    }

    #[test]
    fn too_long_claims_are_not_asked_for() {
        let nsm = prepared(vec![]);
        let long = vec![0; 513];
        for claims in [
            Claims {
                user_data: long.clone(),
                ..Claims::default()
            },
            Claims {
                nonce: long,
                ..Claims::default()
            },
            Claims {
                public_key: vec![0; 1025],
                ..Claims::default()
            },
        ] {
            assert_eq!(nsm.attest(&claims), Err(AttesterError::Refused));
        }
    }
}
