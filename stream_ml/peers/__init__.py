"""Other people's learners behind the interface of ours, to be measured beside it. Loading them is left to their use."""

from stream_ml.peers.registry import PEERS, Peer, peer_named

__all__ = ["PEERS", "Peer", "peer_named"]
