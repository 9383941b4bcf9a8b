//! What the head-end of a `Pair` answers when a session asks.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use loggerhead_model::{CommandId, DeviceId, Identity, Order};

use super::{Fate, Happening, Pair};
use crate::relay::{Host, Manner, Place, Reach, Unreached};
use crate::{Answer, Claim, CloseReason, Company, Input, Known, Proof, Question, Refusal, Untaken, Verdict};

impl Pair {
    /// Answers the next question of a session. False when it asked none.
    pub(super) fn answer_next(&mut self, connection: usize) -> bool {
        let Some(question) = self.connections.get_mut(connection).and_then(|peer| peer.questions.pop_front()) else {
            return false;
        };
        let answer = match question {
            Question::Who(identity) => Answer::Known(self.who(&identity)),
            Question::Prove(claim) => Answer::Verdict(self.judge(connection, claim)),
            Question::Vouch(claim) => Answer::Verdict(match self.enrolled.get(&claim.identity) {
                Some(known) => known.judge(&claim.proof, None),
                None => Verdict::Refused(Refusal::Unknown),
            }),
            Question::Door(door) => {
                let port = (!self.ports.is_empty()).then(|| self.ports.remove(0));
                self.doors.extend(port.map(|port| (port, door)));
                Answer::Door(port)
            }
            Question::Order(device, order) => Answer::Ordered(self.take_order(connection, device, order)),
            Question::Reach(reach) => Answer::Reached(self.reach(connection, &reach)),
            Question::Arrival => {
                Answer::Reached(self.unreached.map_or(Ok(SocketAddr::from(([192, 0, 2, 3], 20))), Err))
            }
        };
        self.tell_head_end(connection, Input::Answer(answer));
        true
    }

    /// Whoever may be reached is: names are those of `Pair::names`.
    fn reach(&mut self, connection: usize, reach: &Reach) -> Result<SocketAddr, Unreached> {
        if let Manner::Datagrams(_) = reach.manner {
            return Ok(SocketAddr::from(([192, 0, 2, 2], 4711)));
        }
        let address = match &reach.to.host {
            Host::Address(address) => *address,
            Host::Name(name) => *self.names.get(&**name).ok_or(Unreached::Unresolved)?,
        };
        let place = Place { address: SocketAddr::new(address.to_canonical(), reach.to.port), is_own: false };
        (reach.permit)(&reach.to.host, place).ok_or(Unreached::Forbidden)?;
        if let Some(why) = self.unreached {
            return Err(why);
        }
        self.note(connection, Happening::Reached(place.address));
        let own: IpAddr = if address.is_ipv4() { [192, 0, 2, 2].into() } else { Ipv6Addr::LOCALHOST.into() };
        Ok(SocketAddr::new(own, 4711))
    }

    /// Commands count from 1. Only devices that are enrolled take any.
    fn take_order(&mut self, connection: usize, device: DeviceId, order: Order) -> Result<CommandId, Untaken> {
        if !self.enrolled.values().any(|known| known.device == device) {
            return Err(Untaken::Unknown);
        }
        if self.fates.pop_front().unwrap_or(self.fate) == Fate::Fail {
            return Err(Untaken::NotStored);
        }
        self.note(connection, Happening::Ordered(device, order));
        Ok(CommandId(self.happenings().filter(|what| matches!(what, Happening::Ordered(..))).count() as u64))
    }

    fn who(&self, identity: &Identity) -> Known {
        let note = self.notes.get(identity).filter(|(until, _)| *until > self.now).map(|(_, note)| note.clone());
        match self.enrolled.get(identity) {
            Some(known) => Known { settings: Arc::clone(&known.settings), learnt: known.learnt.clone(), note },
            None => Known { note, ..Known::default() },
        }
    }

    fn judge(&mut self, connection: usize, claim: Claim) -> Verdict {
        let until = self.remembered.get(&claim.identity).copied();
        let verdict = match self.enrolled.get(&claim.identity) {
            None => Verdict::Refused(Refusal::Unknown),
            Some(known) => known.judge(&claim.proof, until.filter(|until| *until > self.now)),
        };
        match &verdict {
            Verdict::Refused(refusal) => self.note(connection, Happening::Refused(claim.identity, *refusal)),
            Verdict::Accepted(admission) => {
                if let Some(keep) = claim.remember {
                    self.remembered.insert(claim.identity, self.now + keep);
                }
                let fleeting = claim.remember.is_some() || matches!(claim.proof, Proof::Remembered);
                let fleeting = fleeting || claim.company != Company::Alone;
                self.admit(connection, admission.device.clone(), fleeting);
            }
        }
        verdict
    }

    /// One live session per device, but for those that connect anew for every message.
    fn admit(&mut self, connection: usize, device: DeviceId, fleeting: bool) {
        self.note(connection, Happening::Accepted(device.clone()));
        for other in 0..self.connections.len() {
            let older = other != connection
                && self.connections.get(other).is_some_and(|peer| {
                    peer.open && !(fleeting && peer.fleeting) && peer.device.as_ref() == Some(&device)
                });
            if older {
                self.tell_head_end(other, Input::Shutdown(CloseReason::TakenOver));
            }
        }
        if let Some(peer) = self.connections.get_mut(connection) {
            peer.device = Some(device);
            peer.fleeting = fleeting;
        }
    }
}
