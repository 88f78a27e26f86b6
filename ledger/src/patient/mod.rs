//! A patient's own key, and what is said with it.
//!
//! A patient has one key for everywhere ([`PatientSecret`]) and shows its public half on a card
//! ([`PatientCard`]). A site that knows the person binds the key to each of their studies: on its log
//! stands a commitment, blinded anew for each study, so that nobody can tell which studies belong
//! together. The blinding is the patient's to know.
//!
//! With the key alone a patient says who may read a study ([`Consent`]), takes that back
//! ([`Withdrawal`]) and asks what is known of it ([`Inquiry`]). A consent holds key and blinding, so
//! that whoever is shown it beside a proof of the binding entry can check it with no third thing
//! ([`SignedStatement::check_binding`]).

mod card;
mod key;
mod statement;
mod text;

pub use card::PatientCard;
pub use key::PatientSecret;
pub use statement::{
    Consent, Inquiry, SaidBy, SignedStatement, Statement, StatementBody, Withdrawal,
};
