"""Training methods: one small class each, a thin layer over ``losses``, by family.

=================  ===========================================================================
``labels``         CrossEntropy, LabelSmoothing: no teacher
``outputs``        KD (Hinton), DKD, StandardizedKD: one teacher's logits
``dynamic``        UncertaintyKD, AnnealedKD, CTKD, ESKD: weights and temperatures that change
``itself``         PSKD, BYOT: the student as its own teacher
``many``           MultiTeacherKD, CAMKD, GatedKD (AMTML-KD): several teachers
``features``       FitNets (hints), AT (attention): a teacher's inner features
``relations``      RKD, SP, CRD: relations of a teacher's inner features; DIST: of its logits
``peers``          DML: peers that teach each other
``deit``           HardKD, DeiT, TwoClassTokens: a teacher's hard labels, a transformer's tokens
``own``            OwnLoss: a method written as one function
=================  ===========================================================================
"""

from kdnotes.methods.base import Batch, Method, TeacherFeatures, TeacherOutputs
from kdnotes.methods.deit import DeiT, HardKD, TwoClassTokens
from kdnotes.methods.dynamic import CTKD, ESKD, AnnealedKD, UncertaintyKD
from kdnotes.methods.features import AT, FitNets
from kdnotes.methods.itself import BYOT, PSKD
from kdnotes.methods.labels import CrossEntropy, LabelSmoothing
from kdnotes.methods.many import CAMKD, GatedKD, MultiTeacherKD
from kdnotes.methods.outputs import DKD, KD, StandardizedKD
from kdnotes.methods.own import Given, OwnLoss
from kdnotes.methods.peers import DML
from kdnotes.methods.relations import CRD, DIST, RKD, SP

__all__ = [
    "AT", "BYOT", "CAMKD", "CRD", "CTKD", "DIST", "DKD", "DML", "ESKD", "KD", "PSKD", "RKD", "SP",
    "AnnealedKD", "Batch", "CrossEntropy", "DeiT", "FitNets", "GatedKD", "Given", "HardKD",
    "LabelSmoothing", "Method", "MultiTeacherKD", "OwnLoss", "StandardizedKD", "TeacherFeatures",
    "TeacherOutputs", "TwoClassTokens", "UncertaintyKD",
]  # fmt: skip

# The same classes under the names that the chapters use.
DecoupledKD, CurriculumKD, EarlyStoppedKD = DKD, CTKD, ESKD
SelfKD, BeYourOwnTeacher, ConfidenceKD = PSKD, BYOT, CAMKD
HintKD, AttentionKD, MutualLearning = FitNets, AT, DML
