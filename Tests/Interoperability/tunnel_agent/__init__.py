"""The agent's end of docs/tunnel-protocol.md, written from that page alone.

It exists to prove that the page can be implemented from, and to play agents that the tests choose the behaviour of.
"""
