//! A client of ours, and what the server says that it takes.

use std::time::Duration;

use loggerhead_model::{Origin, Reading, ReportBuilder, Ticket};

use super::{House, bytes, message};
use crate::mqtt::decode::read;
use crate::mqtt::frame::BODY_BYTES_MAX;
use crate::mqtt::granted::Granted;
use crate::mqtt::message::{Ack, ConnAck, Level, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Properties, Writer};
use crate::mqtt::reason::Reason;
use crate::{Fault, Input, Now, Output, Session};

/// A simulated device, and the moment.
struct Client {
    session: Box<dyn Session>,
    now: Now,
}

impl Client {
    fn new(settings: &str) -> Self {
        let mut house = House::new();
        let opening = house.pair.opening();
        let settings = format!("user = 'admin'\nsecret = 'text:123456'\n{settings}").parse().expect("TOML");
        let session = (crate::mqtt::PROTOCOL.device)(&settings, opening).expect("settings that can be");
        Self { session, now: house.pair.now() }
    }

    /// Connects, and is answered so.
    fn enter(&mut self, answer: ConnAck<'_>) -> Result<(), Fault> {
        self.session.handle(self.now, Input::Connected)?;
        self.session.handle(self.now, Input::Bytes(&bytes(&Packet::ConnAck(answer), Level::V5)))
    }

    fn enter_with(&mut self, list: &Writer) {
        self.enter(accepted(list.list())).expect("an answer that can be");
    }

    fn offer(&mut self, number: u64) {
        let mut builder = ReportBuilder::new(Origin::Live, 32, 1);
        builder.meter("1", "").expect("short enough");
        builder.reading(&Reading::plain("1", "power", &number.to_string(), self.now.wall)).expect("short enough");
        self.session.handle(self.now, Input::Offer(Ticket(number), builder.finish())).expect("nothing was said");
    }

    /// What it says, but for its CONNECT: each packet in a word, and a message with its reading.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let output = self.session.poll();
            if matches!(output, Output::Idle { .. }) {
                return said;
            }
            let Output::Send(bytes) = output else { continue };
            let (packet, _) = read(Level::V5, &bytes, BODY_BYTES_MAX).expect("ours").expect("a whole one");
            if let Packet::Publish(publish) = packet {
                let text = String::from_utf8_lossy(publish.payload);
                let value: String = text.split("\"value\":\"").skip(1).flat_map(|rest| rest.chars().take(1)).collect();
                said.push(format!("{}#{} {value}", if publish.dup { "again " } else { "" }, publish.id));
            } else if !matches!(packet, Packet::Connect(_)) {
                said.push(packet.kind().name().to_owned());
            }
        }
    }

    fn wake_after(&mut self, seconds: u64) {
        self.now.elapsed += Duration::from_secs(seconds);
        self.session.handle(self.now, Input::Wake).expect("nothing is overdue");
    }
}

fn accepted(properties: Properties<'_>) -> ConnAck<'_> {
    ConnAck { session_present: false, reason: Reason::SUCCESS, properties }
}

// MQTT 3.1.1: 3.1.2-23
// MQTT 5.0: 3.1.2-20 3.1.2-21 3.2.2-21
#[test]
fn a_client_pings_within_its_keep_alive_and_the_servers_where_that_is_said() {
    for (said, expected) in [(None, 20), (Some(5), 5)] {
        let mut list = Writer::default();
        if let Some(seconds) = said {
            list.two(Id::ServerKeepAlive, seconds);
        }
        let mut client = Client::new("keep_alive_s = 20");
        client.enter_with(&list);
        client.said();
        client.wake_after(expected - 1);
        assert_eq!(client.said(), Vec::<String>::new());
        client.wake_after(1);
        assert_eq!(client.said(), ["PINGREQ"]);
    }
}

// MQTT 5.0: 3.2.2-11 3.2.2-14 3.2.2-15
#[test]
fn a_client_sends_nothing_that_the_server_does_not_take() {
    let check =
        |list: &Writer, publish: &Publish<'_>, bytes| Granted::of(&accepted(list.list()), 0).check(publish, bytes);
    let with = |qos, retain| Publish { qos, retain, ..message("t", "x") };
    let all = Writer::default();
    assert_eq!(check(&all, &with(Qos::ExactlyOnce, true), BODY_BYTES_MAX), Ok(()));
    for (most, taken) in [(false, [true, false, false]), (true, [true, true, false])] {
        let mut list = Writer::default();
        list.flag(Id::MaximumQos, most);
        let found =
            [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].map(|qos| check(&list, &with(qos, false), 9).is_ok());
        assert_eq!(found, taken);
    }
    let mut list = Writer::default();
    list.flag(Id::RetainAvailable, false).four(Id::MaximumPacketSize, 20);
    assert!(check(&list, &with(Qos::AtMostOnce, true), 9).is_err());
    assert!(check(&list, &with(Qos::AtMostOnce, false), 20).is_ok());
    assert!(check(&list, &with(Qos::AtMostOnce, false), 21).is_err());
    // A device whose readings do not fit says so, and ends.
    let mut client = Client::new("");
    client.offer(1);
    let fault = client.enter(accepted(list.list())).expect_err("a reading takes more than 20 bytes");
    assert!(fault.reason.contains("the broker takes 20 at most"), "{fault:?}");
}

// MQTT 5.0: 3.3.4-7 4.9.0-1 4.9.0-2
#[test]
fn a_client_has_no_more_under_way_than_the_server_takes() {
    let mut list = Writer::default();
    list.two(Id::ReceiveMaximum, 2);
    let mut client = Client::new("window = 16");
    for number in 1..=4 {
        client.offer(number);
    }
    client.enter_with(&list);
    assert_eq!(client.said(), ["#1 1", "#2 2"]);
    let ack = Packet::PubAck(Ack { id: 1, reason: Reason::SUCCESS, properties: Properties::NONE });
    client.session.handle(client.now, Input::Bytes(&bytes(&ack, Level::V5))).expect("an acknowledgement");
    assert_eq!(client.said(), ["#3 3"]);
}

// MQTT 5.0: 3.2.2-4
#[test]
fn a_client_that_has_no_session_takes_none() {
    let mut client = Client::new("");
    let answer = ConnAck { session_present: true, ..accepted(Properties::NONE) };
    assert!(client.enter(answer).is_err());
}

// MQTT 3.1.1: 4.6.0-1
// MQTT 5.0: 3.2.2-5 4.6.0-1
#[test]
fn what_was_not_acknowledged_is_sent_again_in_its_order_and_under_new_identifiers() {
    let mut client = Client::new("");
    for number in 1..=3 {
        client.offer(number);
    }
    client.enter_with(&Writer::default());
    assert_eq!(client.said(), ["#1 1", "#2 2", "#3 3"]);
    client.session.handle(client.now, Input::Disconnected).expect("nothing was said");
    client.offer(4);
    client.enter_with(&Writer::default());
    assert_eq!(client.said(), ["#4 1", "#5 2", "#6 3", "#7 4"]);
}
