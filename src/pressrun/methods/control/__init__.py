"""Electric drives: motors, converters, loads and references as Gymnasium environments, and classical controllers."""

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
from pressrun.methods.control.references import Reference, SinusReference, StepReference, WienerReference, clipped_walk
from pressrun.methods.control.rewards import WeightedTrackingReward
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
    "PermExDCMotor",
    "PolynomialLoad",
    "Ratings",
    "Reference",
    "SeriesDCMotor",
    "ShuntDCMotor",
    "SinusReference",
    "StepReference",
    "VectorMotorEnv",
    "WeightedTrackingReward",
    "WienerReference",
    "bang_bang",
    "clarke",
    "clipped_walk",
    "inverse_clarke",
    "inverse_park",
    "park",
]
