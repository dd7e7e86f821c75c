"""Objectives, one a file: what training minimises. Each is registered here."""

from plait.jobs.train.objectives.dpo import Dpo, DpoConfig
from plait.jobs.train.objectives.objective import register
from plait.jobs.train.objectives.pretrain import Pretrain, PretrainConfig
from plait.jobs.train.objectives.sft import Sft, SftConfig

register(SftConfig, Sft)
register(DpoConfig, Dpo)
register(PretrainConfig, Pretrain)
