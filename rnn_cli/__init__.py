"""Recurrent networks at the command line: train, sample and evaluate character-level language models.

The commands are a layer above this library. Its main names are here; others are in the module of their name:

    from rnn_cli import LanguageTask, NetworkConfig, Trainer, TrainingConfig, load_corpus, sample_texts, save_checkpoint

    corpus = load_corpus(["names.txt"], as_bytes=False, line_mode=None, validation_fraction=0.1, random_seed=1)
    network = NetworkConfig.for_symbols(len(corpus.codec), cell="gru", hidden_size=128)
    config = TrainingConfig(epochs=40, batch_size=8, sequence_length=32)
    trainer = Trainer(LanguageTask(corpus, network), config, threads=2)
    for report in trainer:
        print(report.step, report.loss)  # in nats per character
    save_checkpoint("names.safetensors", trainer.checkpoint())
    for text in sample_texts(trainer.checkpoint(), count=10):
        print(text.decode())
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Batch": "network.workspace",
    "ByteCodec": "text.codecs.bytes",
    "CharacterCodec": "text.codecs.characters",
    "Checkpoint": "checkpoint.checkpoint",
    "Classifier": "language.classification",
    "Codec": "text.codecs.codec",
    "Corpus": "text.corpus",
    "LanguageTask": "language.task",
    "Model": "network.model",
    "NetworkConfig": "network.config",
    "Report": "training.run_state",
    "Task": "training.task",
    "Trainer": "training.trainer",
    "TrainingConfig": "training.config",
    "complete": "language.beam_search",
    "evaluate_texts": "language.evaluation",
    "load_checkpoint": "checkpoint.checkpoint",
    "load_corpus": "text.corpus",
    "Sampler": "language.sampling",
    "SamplingConfig": "language.config",
    "Scorer": "language.scorer",
    "sample_texts": "language.sampling",
    "save_checkpoint": "checkpoint.checkpoint",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import rnn_cli` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return [*globals(), *_HOMES]
