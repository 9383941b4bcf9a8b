//! WebSocket (RFC 6455) as a server reads and writes it, wherever its bytes are cut; for protocols and transports alike.

pub mod frame;
pub mod handshake;
