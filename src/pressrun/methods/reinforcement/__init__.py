"""Reinforcement learning: agents that other rooms' environments can be played with."""

from pressrun.methods.reinforcement.ddpg import DDPG, Replay
from pressrun.methods.reinforcement.evolution import EvolutionStrategy, centred_ranks

__all__ = ["DDPG", "EvolutionStrategy", "Replay", "centred_ranks"]
