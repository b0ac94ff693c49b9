//! The trusted computing base: admit, authorize, open, call, scrub, reply
