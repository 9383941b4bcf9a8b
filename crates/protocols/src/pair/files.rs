//! The files of a `Pair`: a keeper without a disk.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{DeviceId, Sha256, Ticket};
use md5::{Digest as _, Md5};

use super::{Fate, Happening, Pair, Request, issue};
use crate::{Answer, Collision, FileFailure, FileNews, FileOffer, FileStep, Input, KeptFile, Start};

/// A file on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    offer: FileOffer,
    bytes: BytesMut,
}

/// A file that the head-end of a `Pair` keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFile {
    /// What was offered, with the name that the file got.
    pub offer: FileOffer,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Parts of files, by device and key.
pub(super) type Parts = BTreeMap<(DeviceId, String), BytesMut>;

impl Pair {
    /// Takes a step of the file of a connection.
    pub(super) fn file(&mut self, connection: usize, step: FileStep) {
        match step {
            FileStep::Begin(offer) => {
                let news = match self.begin(*offer) {
                    Ok(arriving) => {
                        let offset = arriving.bytes.len() as u64;
                        if let Some(peer) = self.connections.get_mut(connection) {
                            peer.file = Some(arriving);
                        }
                        FileNews::Begun { offset }
                    }
                    Err(failure) => FileNews::Failed(failure),
                };
                self.tell_head_end(connection, Input::Answer(Answer::File(news)));
            }
            FileStep::Write(bytes) => {
                if let Some(file) = self.connections.get_mut(connection).and_then(|peer| peer.file.as_mut()) {
                    file.bytes.extend_from_slice(&bytes);
                }
            }
            FileStep::Finish(ticket) => {
                let file = self.connections.get_mut(connection).and_then(|peer| peer.file.take());
                let Some(file) = file else { return };
                self.due(connection, ticket, Request::File(Box::new(file)));
            }
        }
    }

    fn begin(&mut self, offer: FileOffer) -> Result<Arriving, FileFailure> {
        if let Some(file) = self.files.iter().find(|file| offer.key.is_some() && file.offer.key == offer.key)
            && offer.start == Start::Behind
        {
            return Ok(Arriving { bytes: BytesMut::from(&*file.bytes), offer });
        }
        let place = offer.key.clone().map(|key| (offer.device.clone(), key));
        let mut bytes = place.and_then(|place| self.parts.remove(&place)).unwrap_or_default();
        match offer.start {
            Start::At(offset) if offset > bytes.len() as u64 => Err(FileFailure::Gap { here: bytes.len() as u64 }),
            Start::At(offset) => {
                bytes.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
                Ok(Arriving { offer, bytes })
            }
            Start::Behind if bytes.len() as u64 > offer.size => Err(FileFailure::Differs),
            Start::Behind => Ok(Arriving { offer, bytes }),
        }
    }

    /// A connection is over: what it brought of a file that has a key is kept.
    pub(super) fn leave_file(&mut self, connection: usize) {
        let file = self.connections.get_mut(connection).and_then(|peer| peer.file.take());
        if let Some(Arriving { offer: FileOffer { device, key: Some(key), .. }, bytes }) = file {
            self.parts.insert((device, key), bytes);
        }
    }

    /// The disk is done with a file.
    pub(super) fn finish_file(&mut self, connection: usize, ticket: Ticket, fate: Fate, file: Arriving) {
        let bytes = Bytes::copy_from_slice(&file.bytes);
        let news = if fate == Fate::Fail { Err(FileFailure::Failed) } else { self.keep(ticket, file) };
        match &news {
            Ok(_) => self.note(connection, Happening::FileKept(bytes)),
            Err(_) => self.note(connection, Happening::Lost(ticket)),
        }
        self.tell_head_end(connection, Input::Answer(Answer::File(news.map_or_else(FileNews::Failed, FileNews::Kept))));
    }

    fn keep(&mut self, ticket: Ticket, file: Arriving) -> Result<KeptFile, FileFailure> {
        let Arriving { mut offer, bytes } = file;
        let sha256: Sha256 = sha2::Sha256::digest(&bytes).into();
        let md5: [u8; 16] = Md5::digest(&bytes).into();
        let differs =
            offer.sums.sha256.is_some_and(|sum| sum != sha256) || offer.sums.md5.is_some_and(|sum| sum != md5);
        if differs {
            return Err(FileFailure::WrongSum);
        }
        let is_again =
            |file: &PairFile| file.offer.key.is_some() && file.offer.key == offer.key && file.bytes == *bytes;
        let taken = |offer: &FileOffer, files: &[PairFile]| {
            files.iter().position(|file| file.offer.device == offer.device && file.offer.name == offer.name)
        };
        if let Some(place) = self.files.iter().position(is_again) {
            offer = self.files.remove(place).offer;
        } else if let Some(place) = taken(&offer, &self.files) {
            match offer.collision {
                Collision::Error => return Err(FileFailure::Exists),
                Collision::Replace => drop(self.files.remove(place)),
                Collision::Suffix => {
                    let first = offer.name.clone();
                    let mut number = 2;
                    while taken(&offer, &self.files).is_some() {
                        offer.name = first.numbered(number);
                        number += 1;
                    }
                }
            }
        }
        let name = offer.name.clone();
        self.files.push(PairFile { offer, bytes: bytes.to_vec() });
        Ok(KeptFile { receipt: issue(ticket, self.files.len() as u64), name, sha256 })
    }
}
