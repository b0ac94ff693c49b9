//! Both ends of sealing: HPKE envelopes in COSE_Encrypt0, and record encryption
