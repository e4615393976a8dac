"""Things that move and what moves them: electric drives with classical controllers, and a swimmer with the circuit of a worm."""

from pressrun.methods.control.controllers import CascadedPI, bang_bang
from pressrun.methods.control.converters import (
    Cont1QC,
    Cont2QC,
    Cont4QC,
    ContB6,
    Converter,
    Finite1QC,
    Finite2QC,
    Finite4QC,
    FiniteB6,
    MultiConverter,
)
from pressrun.methods.control.drive import Drive
from pressrun.methods.control.environments import ElectricMotorEnv, VectorMotorEnv
from pressrun.methods.control.loads import PolynomialLoad
from pressrun.methods.control.motors import PMSM, ExtExDCMotor, Motor, PermExDCMotor, Ratings, SeriesDCMotor, ShuntDCMotor
from pressrun.methods.control.ncap import NCAPSwimmer, excitatory, graded, inhibitory, square_wave
from pressrun.methods.control.references import Reference, SinusReference, StepReference, WienerReference, clipped_walk
from pressrun.methods.control.rewards import WeightedTrackingReward
from pressrun.methods.control.swimmer import SwimmerEnv
from pressrun.methods.control.transforms import clarke, inverse_clarke, inverse_park, park

__all__ = [
    "PMSM",
    "CascadedPI",
    "Cont1QC",
    "Cont2QC",
    "Cont4QC",
    "ContB6",
    "Converter",
    "Drive",
    "ElectricMotorEnv",
    "ExtExDCMotor",
    "Finite1QC",
    "Finite2QC",
    "Finite4QC",
    "FiniteB6",
    "Motor",
    "MultiConverter",
    "NCAPSwimmer",
    "PermExDCMotor",
    "PolynomialLoad",
    "Ratings",
    "Reference",
    "SeriesDCMotor",
    "ShuntDCMotor",
    "SinusReference",
    "StepReference",
    "SwimmerEnv",
    "VectorMotorEnv",
    "WeightedTrackingReward",
    "WienerReference",
    "bang_bang",
    "clarke",
    "clipped_walk",
    "excitatory",
    "graded",
    "inhibitory",
    "inverse_clarke",
    "inverse_park",
    "park",
    "square_wave",
]
