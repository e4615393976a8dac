"""Reinforcement learning: agents that other rooms' environments can be played with."""

from pressrun.methods.reinforcement.ddpg import DDPG, Replay

__all__ = ["DDPG", "Replay"]
