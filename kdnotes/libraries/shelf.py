"""The libraries whose distillation losses the course compares."""

from __future__ import annotations

from functools import partial

from kdnotes import checks
from kdnotes.libraries import formulas, language, vision
from kdnotes.libraries.library import Call, Library, Weighing

WEIGHT = 0.25  # of the labels, wherever a weight is measured

SHELF = (
    Library(
        "keras",
        "keras",
        Call("LogitsDistillation(temperature=T)", vision.keras_default, formulas.CLIPPED_LOGITS),
        Call(
            "LogitsDistillation(temperature=T, loss=keras.losses.KLDivergence())",
            vision.keras_cured,
            formulas.R,
        ),
        'temperature=3.0, loss="kl_divergence", student_loss_weight=0.5',
        "student_loss_weight: the labels; the teacher has the rest",
        "Softmax and T² are there for an object of KLDivergence only. The default is the word "
        '"kl_divergence", which stands for a function: it clips the logits and takes them for '
        "probabilities.",
        (
            Weighing(
                "student_loss_weight=0.25, loss=KLDivergence()",
                partial(vision.keras_distiller, alpha=WEIGHT),
            ),
        ),
    ),
    Library(
        "modelopt",
        "nvidia-modelopt",
        Call("LogitsDistillationLoss(T)", vision.modelopt_default, formulas.R_OVER_K),
        Call('LogitsDistillationLoss(T, reduction="batchmean")', vision.modelopt_cured, formulas.R),
        'temperature=1.0, reduction="mean", kd_loss_weight=0.5',
        "kd_loss_weight: the teacher; the labels have the rest",
        "The default mean is over samples and classes.",
        (
            Weighing(
                'kd_loss_weight=0.75, reduction="batchmean"',
                partial(vision.modelopt_balanced, alpha=WEIGHT),
            ),
        ),
    ),
    Library(
        "timm",
        "timm",
        Call(
            'LogitDistillationTask(student, teacher, temperature=T)(x, y)["kd_loss"]',
            vision.timm_soft,
            formulas.R,
        ),
        Call(
            'LogitDistillationTask(student, teacher, temperature=T)(x, y)["kd_loss"]',
            vision.timm_soft,
            formulas.R,
        ),
        "temperature=1.0, both weights 1",
        "task_loss_weight the labels, distill_loss_weight the teacher: what the other is, depends "
        "on which is given",
        "With task_loss_weight=α alone it is α·CE + (1 − α)·R; with distill_loss_weight=1 − α "
        "alone the labels keep 1.",
        (
            Weighing("no weight", vision.timm_plain),
            Weighing("task_loss_weight=0.25", partial(vision.timm_task, alpha=WEIGHT)),
            Weighing("distill_loss_weight=0.75", partial(vision.timm_distill_weight, alpha=WEIGHT)),
        ),
    ),
    Library(
        "torchdistill",
        "torchdistill",
        Call("KDLoss(..., temperature=T, alpha=0)", vision.torchdistill_default, formulas.KL),
        Call("KDLoss(..., temperature=T, alpha=1e-9)", vision.torchdistill_cured, formulas.R),
        'no temperature; alpha=None, which needs a beta; beta=1 − alpha, reduction="batchmean"',
        "alpha: the labels; beta the teacher",
        "With alpha = 0 or None, or without labels, T² is left out, and beta too.",
        (
            Weighing("alpha=0", partial(vision.torchdistill_loss, alpha=0)),
            Weighing("alpha=0.25", partial(vision.torchdistill_loss, alpha=WEIGHT)),
        ),
    ),
    Library(
        "lightly-train",
        "lightly-train",
        Call("DistillationLoss(T)(z_t, z_s, queue)", vision.lightly_default, formulas.KL),
        Call("T**2 * DistillationLoss(T)(z_t, z_s, queue)", vision.lightly_cured, formulas.R),
        'temperature=0.07 in its method "distillationv1"',
        "no labels",
        "Its logits are similarities of normalised features with a queue; here the queue is the "
        "identity. Read from a module that is not public.",
    ),
    Library(
        "kd-lib",
        "KD-Lib",
        Call("VanillaKD(..., temp=T, distil_weight=1)", vision.kd_lib_default, formulas.SQUARED),
        Call(
            "VanillaKD(..., temp=T, distil_weight=1, loss_fn=KL of probabilities)",
            vision.kd_lib_cured,
            formulas.R,
        ),
        "temp=20.0, distil_weight=0.5, loss_fn=nn.MSELoss()",
        "distil_weight: the teacher; the labels have the rest",
        "The squared distance of probabilities, times T². Its last release asks for packages of "
        "2021.",
        (Weighing("distil_weight=0.75, KL", partial(vision.kd_lib_weighed, alpha=WEIGHT)),),
    ),
    Library(
        "trl-gkd",
        "trl",
        Call(
            "generalized_jsd_loss(z_s, z_t, temperature=T)",
            language.gkd_default,
            formulas.JSD_OF_TOKENS,
        ),
        Call(
            "T**2 * generalized_jsd_loss(z_s, z_t, temperature=T, beta=0)",
            language.gkd_cured,
            formulas.R,
        ),
        "beta=0.5, temperature=1.0",
        "no labels",
        "beta = 0 is KL(p_t‖p_s), beta = 1 the reverse; there is no T² at any beta.",
    ),
    Library(
        "trl-gkd-trainer",
        "trl",
        Call(
            "GKDTrainer(args=GKDConfig(temperature=T)).compute_loss",
            language.gkd_trainer_default,
            formulas.JSD_AT_ONE,
        ),
        Call(
            "T**2 * GKDTrainer(args=GKDConfig(beta=0)).compute_loss of networks that give z/T",
            language.gkd_trainer_cured,
            formulas.R,
        ),
        "temperature=0.9, beta=0.5, lmbda=0.5",
        "no labels",
        "The temperature is the one of sampling: it never reaches the loss. No setting makes it R.",
    ),
    Library(
        "trl-distillation",
        "trl",
        Call(
            "DistillationTrainer(args=DistillationConfig(temperature=T))",
            language.distillation_trainer_default,
            formulas.REVERSE_OF_TOKENS,
        ),
        Call(
            "T**2 * DistillationTrainer(args=DistillationConfig(temperature=T, beta=0))",
            language.distillation_trainer_cured,
            formulas.R,
        ),
        "temperature=1.0, beta=1.0",
        "no labels",
        "The reverse divergence is the default. Measured in the function of the trainer's module "
        "that computes the loss from hidden states, with the identity as the head.",
    ),
    Library(
        "sentence-transformers",
        "sentence-transformers",
        Call(
            "DistillKLDivLoss(model, temperature=T)",
            language.sentence_transformers_loss,
            formulas.R,
        ),
        Call(
            "DistillKLDivLoss(model, temperature=T)",
            language.sentence_transformers_loss,
            formulas.R,
        ),
        "temperature=1.0; one for each network is possible",
        "no labels",
        "A row holds the scores of a query's candidates. T² is the student's.",
    ),
    Library(
        "liger-kernel",
        "liger-kernel",
        Call(
            "LigerFusedLinearJSDLoss(temperature=T), the teacher's part",
            language.liger_default,
            formulas.JSD_OF_TOKENS,
        ),
        Call(
            "T**2 * LigerFusedLinearJSDLoss(temperature=T, beta=0, weight_hard_loss=0, "
            "weight_soft_loss=1)",
            language.liger_cured,
            formulas.R,
        ),
        "temperature=1.0, beta=0.5, weight_hard_loss=0.5, weight_soft_loss=0.5",
        "weight_hard_loss the labels, weight_soft_loss the teacher, each for itself",
        "On a CPU with compiled=False.",
        (
            Weighing(
                "weight_hard_loss=0.25, weight_soft_loss=0.75·T², beta=0",
                partial(language.liger_weighed, alpha=WEIGHT),
            ),
        ),
    ),
    Library(
        "torchtune",
        "torchtune",
        Call(
            "ForwardKLLoss()(z_s, z_t, y)",
            language.torchtune_default,
            formulas.CROSS_ENTROPY_AT_ONE,
        ),
        Call(
            "T**2 * (loss(z_s / T, z_t / T, y) - loss(z_t / T, z_t / T, y))",
            language.torchtune_cured,
            formulas.R,
        ),
        "no temperature; kd_ratio=0.5 in its recipes",
        "kd_ratio: the teacher; the labels have the rest (read in its recipes)",
        "The teacher's entropy is in it. Labels tell padding only.",
    ),
    Library(
        "textbrewer",
        "textbrewer",
        Call("kd_ce_loss(z_s, z_t, T)", language.textbrewer_default, formulas.CROSS_ENTROPY),
        Call(
            "T**2 * (kd_ce_loss(z_s, z_t, T) - kd_ce_loss(z_t, z_t, T))",
            language.textbrewer_cured,
            formulas.R,
        ),
        "temperature=4, kd_loss_weight=1, hard_label_weight=0",
        "kd_loss_weight the teacher, hard_label_weight the labels, each for itself (read)",
        "The teacher's entropy is in it, and there is no T².",
    ),
)


def names() -> tuple[str, ...]:
    """The names of all libraries, as the record and the command have them."""
    return tuple(library.name for library in SHELF)


def get(name: str) -> Library:
    """What is said of a library.

    Raises:
        ValueError: there is none of that name; the message gives those that are known.
    """
    checks.one_of(*names())("name", name)
    return SHELF[names().index(name)]
