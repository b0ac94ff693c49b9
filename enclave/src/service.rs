//! What each address of the enclave answers (`CONTRACT`: evidence, admission, sealed calls).
