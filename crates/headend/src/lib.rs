//! Everything asynchronous: listeners, the connection loop, identity, presence, the hub.
