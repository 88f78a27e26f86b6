//! Bodies as CBOR arrays, one fixed length for each kind.

use cairn_chunker::cbor::{Reader, Writer};

use super::body::{
    Accept, Attest, Body, BreakGlass, Grant, Join, PatientKey, Receipt, Register, Review, Revoke,
    Rotate, Supersede, Tombstone, TransferIn, TransferOut,
};
use super::read_time;
use super::terms::{
    Access, BreakGlassReason, Conditions, Purpose, ReviewVerdict, RevokeReason, TombstoneReason,
    Verdict, read_link, write_link,
};
use crate::Result;
use crate::id::{Commitment, ConsentId, SiteId, StudyId};
use crate::keys::{Possession, SiteKeys};
use crate::limits::ORIGIN_BYTES_MAX;
use crate::opening::Sealed;

impl Receipt {
    fn write(&self, writer: &mut Writer) {
        self.access.write(writer.array(3));
        writer.bytes(&self.key).bytes(&self.countersignature);
    }

    /// As the body of an entry has it: what two sites hand each other.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads [`Receipt::encode`] back. The countersignature is not checked: [`Receipt::holds`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "receipt");
        let receipt = read_receipt(&mut reader)?;
        reader.end()?;
        Ok(receipt)
    }
}

impl Body {
    /// Its number in the encoding.
    #[must_use]
    pub fn kind(&self) -> u64 {
        match self {
            Self::Join(_) => 0,
            Self::Rotate(_) => 1,
            Self::Register(_) => 2,
            Self::Supersede(_) => 3,
            Self::Attest(_) => 4,
            Self::Grant(grant) if grant.consent.is_some() => 15,
            Self::Grant(_) => 5,
            Self::Accept(_) => 6,
            Self::Revoke(_) => 7,
            Self::Receipt(_) => 8,
            Self::TransferOut(_) => 9,
            Self::TransferIn(_) => 10,
            Self::BreakGlass(_) => 11,
            Self::Review(_) => 12,
            Self::PatientKey(bound) if bound.required => 16,
            Self::PatientKey(_) => 13,
            Self::Tombstone(_) => 14,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Rotate(_) => "rotate",
            Self::Register(_) => "register",
            Self::Supersede(_) => "supersede",
            Self::Attest(_) => "attest",
            Self::Grant(grant) if grant.consent.is_some() => "consented-grant",
            Self::Grant(_) => "grant",
            Self::Accept(_) => "accept",
            Self::Revoke(_) => "revoke",
            Self::Receipt(_) => "receipt",
            Self::TransferOut(_) => "transfer-out",
            Self::TransferIn(_) => "transfer-in",
            Self::BreakGlass(_) => "break-glass",
            Self::Review(_) => "review",
            Self::PatientKey(bound) if bound.required => "required-patient-key",
            Self::PatientKey(_) => "patient-key",
            Self::Tombstone(_) => "tombstone",
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Join(join) => {
                writer.array(3).text(&join.origin).bytes(&join.keys.to_bytes());
                writer.bytes(join.possession.as_flattened());
            }
            Self::Rotate(rotate) => {
                writer.array(2).bytes(&rotate.keys.to_bytes());
                writer.bytes(rotate.possession.as_flattened());
            }
            Self::Register(register) => {
                writer.array(2).bytes(&register.salt).bytes(&register.commitment.0);
            }
            Self::Supersede(new) => {
                writer.array(3).bytes(&new.study.0).uint(new.version).bytes(&new.commitment.0);
            }
            Self::Attest(attest) => {
                writer.array(4).bytes(&attest.study.0).uint(attest.version);
                writer.uint(attest.checks).uint(attest.verdict.id());
            }
            Self::Grant(grant) => write_grant(writer, grant),
            Self::Accept(accept) => write_link(writer.array(1), &accept.grant),
            Self::Revoke(revoke) => {
                writer.array(2).uint(revoke.grant).uint(revoke.reason.id());
            }
            Self::Receipt(receipt) => receipt.write(writer),
            Self::TransferOut(out) => {
                writer.array(4).bytes(&out.study.0).uint(out.version).bytes(&out.to.0);
                out.opening.write(writer);
            }
            Self::TransferIn(taken) => {
                write_link(writer.array(4).bytes(&taken.study.0), &taken.from);
                writer.uint(taken.version).bytes(&taken.commitment.0);
            }
            Self::BreakGlass(broken) => {
                writer.array(4).bytes(&broken.owner.0).bytes(&broken.study.0);
                writer.uint(broken.expires).uint(broken.reason.id());
            }
            Self::Review(review) => {
                write_link(writer.array(2), &review.break_glass);
                writer.uint(review.verdict.id());
            }
            Self::PatientKey(bound) => {
                writer.array(2).bytes(&bound.study.0).bytes(&bound.commitment.0);
            }
            Self::Tombstone(stone) => {
                writer.array(2).bytes(&stone.study.0).uint(stone.reason.id());
            }
        }
    }

    pub(super) fn read(kind: u64, reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match kind {
            0 => Self::Join(Box::new(read_join(reader)?)),
            1 => Self::Rotate(Box::new(read_rotate(reader)?)),
            2 => Self::Register(read_register(reader)?),
            3 => Self::Supersede(read_supersede(reader)?),
            4 => Self::Attest(read_attest(reader)?),
            5 => Self::Grant(Box::new(read_grant(reader, false)?)),
            6 => Self::Accept(read_accept(reader)?),
            7 => Self::Revoke(read_revoke(reader)?),
            8 => Self::Receipt(Box::new(read_receipt(reader)?)),
            9 => Self::TransferOut(Box::new(read_transfer_out(reader)?)),
            10 => Self::TransferIn(read_transfer_in(reader)?),
            11 => Self::BreakGlass(read_break_glass(reader)?),
            12 => Self::Review(read_review(reader)?),
            13 => Self::PatientKey(read_patient_key(reader, false)?),
            14 => Self::Tombstone(read_tombstone(reader)?),
            15 => Self::Grant(Box::new(read_grant(reader, true)?)),
            16 => Self::PatientKey(read_patient_key(reader, true)?),
            _ => return Err(reader.fault("unknown kind of entry").into()),
        })
    }
}

fn read_possession(reader: &mut Reader<'_>) -> Result<Possession> {
    let bytes = reader.bytes(size_of::<Possession>())?;
    let (signatures, rest) = bytes.as_chunks::<64>();
    match (signatures.try_into(), rest) {
        (Ok(possession), []) => Ok(possession),
        _ => Err(reader.fault("there are not four signatures").into()),
    }
}

fn read_join(reader: &mut Reader<'_>) -> Result<Join> {
    reader.array_of(3)?;
    let origin = reader.text(ORIGIN_BYTES_MAX)?.to_owned();
    if !crate::note::is_key_name(&origin) {
        return Err(reader.fault("the origin is not a key name").into());
    }
    Ok(Join { origin, keys: SiteKeys::read(reader)?, possession: read_possession(reader)? })
}

fn read_rotate(reader: &mut Reader<'_>) -> Result<Rotate> {
    reader.array_of(2)?;
    Ok(Rotate { keys: SiteKeys::read(reader)?, possession: read_possession(reader)? })
}

fn read_register(reader: &mut Reader<'_>) -> Result<Register> {
    reader.array_of(2)?;
    Ok(Register { salt: reader.hash()?, commitment: Commitment(reader.hash()?) })
}

fn read_supersede(reader: &mut Reader<'_>) -> Result<Supersede> {
    reader.array_of(3)?;
    let (study, version) = (StudyId(reader.hash()?), reader.uint()?);
    Ok(Supersede { study, version, commitment: Commitment(reader.hash()?) })
}

fn read_attest(reader: &mut Reader<'_>) -> Result<Attest> {
    reader.array_of(4)?;
    let (study, version) = (StudyId(reader.hash()?), reader.uint()?);
    Ok(Attest { study, version, checks: reader.uint()?, verdict: Verdict::read(reader)? })
}

fn write_grant(writer: &mut Writer, grant: &Grant) {
    let fields = if grant.consent.is_some() { 10 } else { 9 };
    writer.array(fields).bytes(&grant.study.0).uint(grant.version).bytes(&grant.grantee.0);
    writer.uint(grant.purpose.id()).uint(grant.not_before).uint(grant.expires);
    writer.uint(grant.conditions.bits());
    match &grant.break_glass {
        Some(link) => write_link(writer, link),
        None => {
            writer.null();
        }
    }
    grant.opening.write(writer);
    if let Some(consent) = &grant.consent {
        writer.bytes(&consent.0);
    }
}

fn read_grant(reader: &mut Reader<'_>, consented: bool) -> Result<Grant> {
    reader.array_of(if consented { 10 } else { 9 })?;
    Ok(Grant {
        study: StudyId(reader.hash()?),
        version: reader.uint()?,
        grantee: SiteId(reader.hash()?),
        purpose: Purpose::read(reader)?,
        not_before: read_time(reader)?,
        expires: read_time(reader)?,
        conditions: Conditions::read(reader)?,
        break_glass: if reader.null() { None } else { Some(read_link(reader)?) },
        opening: Sealed::read(reader)?,
        consent: if consented { Some(ConsentId(reader.hash()?)) } else { None },
    })
}

fn read_accept(reader: &mut Reader<'_>) -> Result<Accept> {
    reader.array_of(1)?;
    Ok(Accept { grant: read_link(reader)? })
}

fn read_revoke(reader: &mut Reader<'_>) -> Result<Revoke> {
    reader.array_of(2)?;
    Ok(Revoke { grant: reader.uint()?, reason: RevokeReason::read(reader)? })
}

fn read_receipt(reader: &mut Reader<'_>) -> Result<Receipt> {
    reader.array_of(3)?;
    let access = Access::read(reader)?;
    let key = reader.hash()?;
    let signature = reader.bytes(64)?;
    let Ok(countersignature) = signature.try_into() else {
        return Err(reader.fault("a signature does not have 64 bytes").into());
    };
    Ok(Receipt { access, key, countersignature })
}

fn read_transfer_out(reader: &mut Reader<'_>) -> Result<TransferOut> {
    reader.array_of(4)?;
    let (study, version) = (StudyId(reader.hash()?), reader.uint()?);
    Ok(TransferOut { study, version, to: SiteId(reader.hash()?), opening: Sealed::read(reader)? })
}

fn read_transfer_in(reader: &mut Reader<'_>) -> Result<TransferIn> {
    reader.array_of(4)?;
    let (study, from) = (StudyId(reader.hash()?), read_link(reader)?);
    Ok(TransferIn { study, from, version: reader.uint()?, commitment: Commitment(reader.hash()?) })
}

fn read_break_glass(reader: &mut Reader<'_>) -> Result<BreakGlass> {
    reader.array_of(4)?;
    let (owner, study) = (SiteId(reader.hash()?), StudyId(reader.hash()?));
    let expires = read_time(reader)?;
    Ok(BreakGlass { owner, study, expires, reason: BreakGlassReason::read(reader)? })
}

fn read_review(reader: &mut Reader<'_>) -> Result<Review> {
    reader.array_of(2)?;
    Ok(Review { break_glass: read_link(reader)?, verdict: ReviewVerdict::read(reader)? })
}

fn read_patient_key(reader: &mut Reader<'_>, required: bool) -> Result<PatientKey> {
    reader.array_of(2)?;
    let (study, commitment) = (StudyId(reader.hash()?), Commitment(reader.hash()?));
    Ok(PatientKey { study, commitment, required })
}

fn read_tombstone(reader: &mut Reader<'_>) -> Result<Tombstone> {
    reader.array_of(2)?;
    Ok(Tombstone { study: StudyId(reader.hash()?), reason: TombstoneReason::read(reader)? })
}
