//! The relying party of a person: appraise evidence, seal, admit, call
