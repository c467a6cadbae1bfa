"""The mutations of `mutation.py`: small changes of the program, each with the tests that should notice it."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A change of a file in rnn_cli/: `old`, which occurs once, becomes `new`.

    `tests` are files in tests/, or tests in them, apart by blanks. `reason` says why the program does the same with the
    change, if it does.
    """

    file: str
    old: str
    new: str
    tests: str
    reason: str = ""


RULES = "training/test_run_rules.py"
TRAINER = "training/test_trainer.py"
PLAIN_LAYER = "network/test_plain.py::test_gradient_of_a_layer"
EQUATIONS = "kernels/test_kernels.py::test_compiled_equations_equal_the_plain_ones"
REFERENCE = "network/test_reference.py::test_window_agrees_with_the_reference"
OPTIMISERS = "kernels/test_kernels.py::test_optimisers_agree_with_their_equations"
BATCHES = "text/test_batches.py"
FILES = "test_atomic_files.py"
CLASSIFY = "cli/test_cli_score.py"
PASSED_ON = "cli/test_passed_on.py"
NAIVE_BAYES = "tasks/test_naive_bayes.py"
CALIBRATION = "tasks/forecast/test_calibration.py"

TRAINING = (
    Mutation(
        "training/trainer.py",
        "progress.best_step, progress.evaluations_without_gain = progress.step, 0",
        "progress.best_step = progress.step",
        RULES,
    ),
    Mutation(
        "training/trainer.py",
        "evaluations_without_gain >= self.config.patience",
        "evaluations_without_gain > self.config.patience",
        RULES,
    ),
    Mutation("training/trainer.py", "PLATEAU_PATIENCE = 2", "PLATEAU_PATIENCE = 3", RULES),
    Mutation(
        "training/trainer.py",
        "key = int(self._generator(DROPCONNECT)",
        "key = int(generator([self.config.random_seed, DROPCONNECT])",
        RULES,
    ),
    Mutation("training/trainer.py", "if evaluates and report.loss < self.task.blind_loss:", "if evaluates:", RULES),
    Mutation(
        "training/trainer.py",
        "if evaluates and report.loss < self.task.blind_loss:",
        "if report.loss < self.task.blind_loss:",
        RULES,
    ),
    Mutation("training/trainer.py", "            self.window.average.fill(0)\n", "            pass\n", RULES),
    Mutation(
        "training/trainer.py",
        "            progress.overhead += now - self._started\n",
        "            progress.overhead = now - self._started\n",
        RULES,
    ),
    Mutation("training/trainer.py", "rate_factor=now.rate_factor / 2", "rate_factor=good.rate_factor / 2", RULES),
    Mutation("training/trainer.py", "        rate *= progress.rate_factor\n", "", RULES),
    Mutation(
        "training/run_state.py",
        "            return self.loss < other.loss\n",
        "            return self.loss <= other.loss\n",
        RULES,
    ),
    Mutation(
        "training/trainer.py",
        "best_loss=now.best_loss,",
        "best_loss=good.best_loss,",
        f"{TRAINER}::test_the_best_model_is_still_the_best_after_going_back",
    ),
    Mutation(
        "training/trainer.py",
        "if report.step <= self.progress.step]",
        "if report.step < self.progress.step]",
        f"{TRAINER}::test_nonfinite_gradient_goes_back_to_last_good_state",
    ),
    Mutation(
        "training/trainer.py",
        "(draws >= config.dropout) / np.float32(1 - config.dropout)",
        "(draws >= config.dropout) / np.float32(1)",
        f"{TRAINER}::test_dropout_leaves_out_other_units_at_each_step",
    ),
    Mutation(
        "training/trainer.py",
        "self._generator(RESETS).random(config.batch_size) < config.reset_chance",
        "self._generator(RESETS).random() < config.reset_chance",
        f"{TRAINER}::test_streams_are_reset_at_random",
    ),
    Mutation(
        "training/trainer.py",
        "        window.state[:], window.mask[:] = state, mask\n",
        "        window.mask[:] = mask\n",
        f"{TRAINER}::test_evaluations_do_not_disturb_the_training",
    ),
    Mutation(
        "training/trainer.py",
        "            candidate = self.model.parameters\n",
        "            pass\n",
        f"{TRAINER}::test_average_is_kept_if_it_is_better",
    ),
    Mutation(
        "training/trainer.py",
        "                del self.history[1::2]\n",
        "                del self.history[::2]\n",
        f"{TRAINER}::test_a_long_history_is_thinned_out",
    ),
    Mutation(
        "training/trainer.py",
        "if now.rollbacks == MOST_ROLLBACKS:",
        "if now.rollbacks > MOST_ROLLBACKS:",
        f"{TRAINER}::test_repeated_divergence_gives_up_and_keeps_the_best",
    ),
    Mutation(
        "training/trainer.py",
        "window.load(self.batches.batch(progress.step))\n        if not self.task.carries_state:\n"
        "            window.state.fill(0)\n",
        "window.load(self.batches.batch(progress.step))\n",
        "training/test_task.py::test_no_state_is_carried_from_text_to_text",
    ),
    Mutation("training/schedule.py", "WARM_UP_STEPS = 20", "WARM_UP_STEPS = 30", "training/test_schedule.py"),
    Mutation("training/schedule.py", "STAIR_FACTOR = 4, 0.3", "STAIR_FACTOR = 4, 0.4", "training/test_schedule.py"),
    Mutation(
        "training/schedule.py",
        "min(1.0, (step + 1) / WARM_UP_STEPS)",
        "min(1.0, step / WARM_UP_STEPS)",
        "training/test_schedule.py",
    ),
    Mutation(
        "training/schedule.py",
        "STAIR_FACTOR ** (1 + STAIRS * passed // whole)",
        "STAIR_FACTOR ** (STAIRS * passed // whole)",
        "training/test_schedule.py",
    ),
    Mutation(
        "training/schedule.py",
        "return max(1, round(step / DECAY_FROM))",
        "return round(step / DECAY_FROM)",
        "training/test_schedule.py",
    ),
    Mutation("training/run_state.py", '{"average": window.average} if progress.averaged else {}', "{}", RULES),
    Mutation(
        "training/run_state.py",
        '"moment2": window.moments[1]',
        '"moment2": window.moments[0]',
        f"{TRAINER}::test_a_resumed_run_is_the_run_that_never_stopped",
    ),
    Mutation(
        "training/run_state.py",
        "found.shape != shape or found.dtype != np.float32",
        "found.shape != shape",
        f"{TRAINER}::test_a_damaged_state_is_refused",
    ),
    Mutation(
        "training/memory_estimate.py",
        "VECTORS + 5 * (training.average > 0)",
        "VECTORS",
        "training/test_memory_estimate.py::test_foretold_average_is_kept_as_often_as_a_moment",
    ),
    Mutation(
        "training/memory_estimate.py",
        "(gates + len(cell.states))",
        "gates",
        "training/test_memory_estimate.py::test_foretold_window_is_that_of_its_arrays",
    ),
    Mutation("training/diagnosis.py", "if last > best * (1 + RISE):", "if last > best:", "training/test_diagnosis.py"),
    Mutation(
        "training/throughput.py",
        "(config.num_layers - 1) * config.runs * config.hidden_size",
        "config.num_layers * config.runs * config.hidden_size",
        "training/test_throughput.py",
    ),
    Mutation(
        "training/fine_tuning.py",
        'known["decoder.bias"].min()',
        'known["decoder.bias"].max()',
        "training/test_fine_tuning.py::test_known_symbols_keep_their_weights_and_ids",
    ),
)
TEXT = (
    Mutation(
        "text/epoch_order.py",
        "order = generator(seed).permutation(len(blocks) - 1).tolist()",
        "order = generator(seed[:-1]).permutation(len(blocks) - 1).tolist()",
        BATCHES,
    ),
    Mutation(
        "text/epoch_order.py",
        "[*seed, block + 1]",
        "[*seed, 1]",
        f"{BATCHES}::test_lines_of_a_large_text_move_far "
        f"{BATCHES}::test_the_order_of_lines_is_the_same_in_every_version "
        f"{BATCHES}::test_lines_of_equal_blocks_are_shuffled_apart",
    ),
    Mutation(
        "text/batches.py", "int(generator(seed).integers(pairs))", "int(generator(seed).integers(pairs // 2))", BATCHES
    ),
    Mutation("text/batches.py", "targets[targets == BOUNDARY] = IGNORED", "pass", BATCHES),
    Mutation("text/batches.py", "            self._rows[:, 0] = BOUNDARY\n", "            pass\n", BATCHES),
    Mutation("text/batches.py", "targets[after_end] = IGNORED", "pass", BATCHES),
    Mutation(
        "text/augmentation.py",
        "(sizes > 1) & (sizes <= self.longest)",
        "sizes <= self.longest",
        "text/test_augmentation.py",
    ),
    Mutation(
        "text/augmentation.py",
        "[self.random_seed, DRAWN_TEXT, epoch]",
        "[self.random_seed, DRAWN_TEXT]",
        "text/test_augmentation.py",
    ),
    Mutation(
        "text/kneser_ney.py",
        "LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.95",
        "LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.99",
        "text/test_kneser_ney.py",
    ),
    Mutation(
        "text/kneser_ney.py",
        "LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.95",
        "LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.0, 0.95",
        "text/test_kneser_ney.py",
    ),
    Mutation("text/kneser_ney.py", "once + 2 * twice", "once + twice", "text/test_kneser_ney.py"),
    Mutation("text/kneser_ney.py", "counts & (at < learned)", "counts", "text/test_kneser_ney.py"),
    Mutation(
        "text/fingerprint.py",
        "if cls(half, hashes).rate > RATE:",
        "if cls(half, hashes).rate > USELESS:",
        "text/test_fingerprint.py",
    ),
    Mutation(
        "text/fingerprint.py",
        "if length <= max_copy)",
        "if length < max_copy)",
        "text/test_fingerprint.py language/test_sampling.py::test_no_more_than_max_copy_characters_are_copied",
    ),
    Mutation("text/holdout.py", "FEWEST_LINES = 20", "FEWEST_LINES = 21", "text/test_corpus.py"),
    Mutation("text/codecs/codec.py", "len(ids) == 0 or ids[-1] == BOUNDARY", "len(ids) == 0", "text/test_codecs.py"),
    Mutation(
        "text/codecs/codec.py", "table[:, list(self.never_sampled)] = FORBIDDEN", "pass", "language/test_constraints.py"
    ),
    Mutation(
        "text/codecs/codec.py",
        "character {index + 1} of",
        "character {index} of",
        "language/test_sampling.py::test_an_unknown_character_is_named_with_its_position",
    ),
    Mutation(
        "text/codecs/characters.py", "int(self._codes.max()) + 2", "int(self._codes.max()) + 1", "text/test_codecs.py"
    ),
    Mutation(
        "text/documents.py",
        "data[cut] & 0xC0 != 0x80",
        "True",
        "language/test_line_scores.py::test_pieces_are_the_file",
    ),
    Mutation(
        "text/documents.py", "while len(rest) > size and", "while len(rest) >= size and", "language/test_line_scores.py"
    ),
    Mutation(
        "text/documents.py",
        "offset += taken",
        "offset += len(data)",
        "text/test_corpus.py text/test_scale.py::test_chunks_decode_as_the_whole",
    ),
    Mutation("text/sources.py", "file.seek(self.skipped)", "pass", "text/test_corpus.py"),
    Mutation(
        "text/sources.py",
        "file.read(min(CHUNK, missing))",
        "file.read(CHUNK)",
        "text/test_scale.py::test_only_the_first_part_of_a_growing_file_is_read",
    ),
    Mutation(
        "text/spool.py",
        "if self._size > IN_MEMORY:",
        "if self._size >= IN_MEMORY:",
        "text/test_scale.py::test_a_corpus_in_files_is_the_same_as_in_memory",
        "the file of exactly that size is read from memory or mapped: the bytes are the same",
    ),
)
RANKS = (
    Mutation(
        "training/data_parallel.py",
        "part.gradient(dropconnect, scored)",
        "part.gradient(dropconnect)",
        "training/test_data_parallel.py::test_groups_train_as_a_whole_batch",
    ),
    Mutation(
        "training/data_parallel.py",
        "tree_sum(gradients, self.groups, node) for node in",
        "sum(gradients.values()) for node in",
        "training/test_data_parallel.py::test_any_number_of_ranks_gives_the_same_bits",
    ),
    Mutation(
        "training/data_parallel.py",
        "        by_row[:] = self._gathered(by_row)\n",
        "        pass\n",
        "training/test_data_parallel.py::test_any_number_of_ranks_gives_the_same_bits",
    ),
    Mutation(
        "training/mpi.py",
        "int(max(part[0] for part in parts))",
        "int(parts[0][0])",
        "training/test_data_parallel.py::test_any_number_of_ranks_gives_the_same_bits",
    ),
)
LANGUAGE = (
    Mutation(
        "language/sampling.py",
        "index << 32",
        "index << 8",
        "language/test_sampling.py::test_texts_of_two_prompts_share_no_random_numbers",
    ),
    Mutation(
        "language/sampling.py",
        "if size > config.max_length:",
        "if size >= config.max_length:",
        "language/test_sampling.py::test_the_limits_of_length_include_the_prompt "
        "language/test_sampling.py::test_limits_that_leave_no_text_are_refused",
    ),
    Mutation(
        "language/sampling.py",
        "team_for(rows, self.model.layout.size, self.threads)",
        "team_for(rows, self.model.layout.size, 1)",
        f"{PASSED_ON}::test_threads_are_passed_on",
    ),
    Mutation(
        "kernels/shared_row.py",
        "self._way, self._pause = way, SHORTEST_PAUSE",
        "self._way, self._pause = self._way, SHORTEST_PAUSE",
        "kernels/test_shared_row.py::test_a_machine_that_becomes_busy_is_noticed_at_once",
    ),
    Mutation(
        "kernels/shared_row.py",
        "share_start(rows.part + 1, rows.parts, groups) * count",
        "share_start(rows.part, rows.parts, groups) * count",
        "language/test_sampling.py::test_threads_that_share_a_row_compute_the_same_bits",
    ),
    Mutation(
        "language/sampling.py",
        "seen.add(whole.tobytes())",
        "seen.add(bytes(whole[:2]))",
        "language/test_sampling.py::test_unique_compares_whole_texts",
    ),
    Mutation(
        "language/candidates.py",
        "return math.inf if bits is None else bits",
        "return 0.0 if bits is None else bits",
        "language/test_candidates.py",
    ),
    Mutation(
        "language/candidates.py",
        "text.surprise < self._best.surprise",
        "text.surprise > self._best.surprise",
        "language/test_candidates.py",
    ),
    Mutation(
        "language/candidates.py",
        "self._accepted + 1, 0",
        "self._accepted + 1, self._rejected",
        "language/test_sampling.py::test_too_many_rejections_end_the_search language/test_candidates.py",
    ),
    Mutation("language/candidates.py", "prompt.shortest + len(stop)", "prompt.shortest", "language/test_candidates.py"),
    Mutation(
        "language/candidates.py",
        "min(len(symbols), len(stop) - 1)",
        "min(len(symbols), len(stop) - 2)",
        "language/test_candidates.py",
    ),
    Mutation(
        "language/stepper.py",
        "text_index, position - len(given)",
        "text_index, 0",
        "language/test_sampling.py::test_several_prompts_are_continued_as_each_alone",
    ),
    Mutation(
        "language/stepper.py",
        "self.window = Window(model, 1, rows, team, config.precision)",
        "self.window = Window(model, 1, rows, team)",
        f"{PASSED_ON}::test_precision_is_passed_on",
    ),
    Mutation(
        "language/evaluation.py",
        "return Scorer(checkpoint, threads, reset_every, precision=precision, counts=counts, counting=counting)",
        "return Scorer(checkpoint, threads, reset_every, counts=counts, counting=counting)",
        f"{PASSED_ON}::test_precision_is_passed_on",
    ),
    Mutation(
        "language/evaluation.py",
        "return DynamicScorer(checkpoint, threads, adapt_rate, precision, counts=counts)",
        "return DynamicScorer(checkpoint, threads, adapt_rate, counts=counts)",
        f"{PASSED_ON}::test_precision_is_passed_on",
    ),
    Mutation(
        "language/evaluation.py",
        "np.count_nonzero(ranks == 0)",
        "np.count_nonzero(ranks <= 1)",
        "language/test_evaluation.py::test_the_scores_follow_from_the_losses",
    ),
    Mutation(
        "language/scorer.py",
        "math.log(escape) + math.log(max(1, SCALAR_VALUES - len(checkpoint.codec)))",
        "math.log(max(1, SCALAR_VALUES - len(checkpoint.codec)))",
        "language/test_evaluation.py::test_unknown_characters_are_counted_and_scored",
    ),
    Mutation(
        "language/scorer.py",
        "self._state = self._window.state[:, :, len(starts) - 1].copy()",
        "self._state = self._window.state[:, :, 0].copy()",
        "language/test_evaluation.py::test_pieces_and_threads_change_no_bit",
    ),
    Mutation(
        "language/scorer.py",
        "self._state[:], self._contexts = 0, NOTHING_READ[: len(self._contexts)]",
        "self._contexts = NOTHING_READ[: len(self._contexts)]",
        "language/test_evaluation.py::test_a_reset_leaves_one_character_of_context",
    ),
    Mutation(
        "language/dynamic_evaluation.py",
        "DECAY * (self._trained - weights)",
        "0",
        "language/test_dynamic_evaluation.py::test_the_weights_follow_the_equation",
    ),
    Mutation(
        "language/dynamic_evaluation.py",
        "DEFAULT_RATE = 0.0007",
        "DEFAULT_RATE = 0.0008",
        "cli/test_options.py::test_defaults_that_help_names_are_those_of_the_program",
    ),
    Mutation(
        "language/dynamic_evaluation.py",
        "        self._window.pack()\n",
        "        pass\n",
        "language/test_dynamic_evaluation.py::test_the_weights_follow_the_equation "
        "language/test_dynamic_evaluation.py::test_a_repeated_text_costs_less",
    ),
    Mutation(
        "language/mixture_weights.py",
        "slope - CERTAINTY * (weights - common) @ mean",
        "slope",
        "language/test_ngrams.py",
    ),
    Mutation("kernels/text/mixture.py", "rest = 1 - min(worth, 1.0)", "rest = 1.0", "language/test_ngrams.py"),
    Mutation(
        "kernels/text/mixture.py", "weight * n + weight_of_counts", "n + weight_of_counts", "language/test_ngrams.py"
    ),
    Mutation(
        "language/autoconfig.py",
        "without = WITHOUT_DROPOUT_OF_LARGEST if hidden > HIDDEN_SIZES[-1] else EPOCHS_WITHOUT_DROPOUT",
        "without = EPOCHS_WITHOUT_DROPOUT",
        "language/test_autoconfig.py",
    ),
    Mutation(
        "language/autoconfig.py",
        "rate / 4",
        "rate / 2",
        "language/test_autoconfig.py::test_fine_tuning_takes_a_quarter_of_the_rate",
    ),
    Mutation(
        "language/autoconfig.py",
        'RATE_OF_RNN if self.values["cell"] == "rnn" else RATE',
        "RATE",
        "language/test_autoconfig.py::test_fine_tuning_takes_a_quarter_of_the_rate",
    ),
    Mutation(
        "language/autoconfig.py",
        "if self.plan.augment and not fine_tuning:",
        "if self.plan.augment:",
        "language/test_autoconfig.py::test_short_texts_are_augmented_unless_fine_tuning",
    ),
    Mutation(
        "language/classification.py",
        "np.arange(1, len(lines) + 1)",
        "np.arange(0, len(lines))",
        "language/test_classification.py",
    ),
    Mutation(
        "language/classification.py",
        "    scorer.start()\n",
        "",
        "language/test_classification.py",
        "the lines before end with a boundary, or these begin with one, after which the state is zero",
    ),
    Mutation(
        "language/beam_search.py",
        "totals.flat[best] > done[-1].log_probability",
        "totals.flat[best] > done[0].log_probability",
        "language/test_beam_search.py",
    ),
    Mutation(
        "language/baselines.py",
        "known * math.log2(size if line_mode else size - 1)",
        "known * math.log2(size)",
        "language/test_baselines.py",
    ),
    Mutation(
        "language/prediction.py",
        "order = order[~np.isin(order, codec.never_sampled)]",
        "pass",
        "language/test_sampling.py::test_predictions_are_a_distribution_at_each_step "
        "cli/test_cli_others.py::test_predict_shows_the_most_probable",
    ),
    Mutation(
        "language/line_scores.py",
        "self._count += len(values)",
        "self._count += len(chosen)",
        "language/test_line_scores.py::test_positions_are_counted_over_all_pieces",
    ),
    Mutation("language/line_scores.py", "symbols = codec.closed(symbols)", "pass", "language/test_line_scores.py"),
    Mutation(
        "language/task.py", "AUGMENTED, DRAWN = 50, 4", "AUGMENTED, DRAWN = 5, 4", "training/test_memory_estimate.py"
    ),
)
MEASURED = (
    Mutation(
        "language/dynamic_evaluation.py", "EPSILON = 1e-4", "EPSILON = 1e-3", "language/test_dynamic_evaluation.py"
    ),
    Mutation("language/dynamic_evaluation.py", "LEARNED = 32", "LEARNED = 16", "language/test_dynamic_evaluation.py"),
    Mutation("language/autoconfig.py", "MINUTES = 3.0", "MINUTES = 4.0", "language/test_autoconfig.py"),
    Mutation("language/autoconfig.py", "SizeRow(3_000, 512,", "SizeRow(4_000, 512,", "language/test_autoconfig.py"),
    Mutation("language/scorer.py", "1_112_064", "1_114_112", "language/test_evaluation.py"),
)
FILES_AND_SIGNALS = (
    Mutation("atomic_files.py", "os.ftruncate(descriptor, 0)", "pass", FILES),
    Mutation(
        "atomic_files.py",
        "with suppress(OSError):\n            os.unlink(name)\n        os.close(descriptor)\n",
        "os.close(descriptor)\n        with suppress(OSError):\n            os.unlink(name)\n",
        FILES,
    ),
    Mutation("atomic_files.py", " and entry.stat(follow_symlinks=False).st_uid == os.getuid()", "", FILES),
    Mutation("atomic_files.py", "            sync_directory(target.parent)\n", "", FILES),
    Mutation(
        "atomic_files.py",
        "                os.fsync(descriptor)\n            finally:",
        "                pass\n            finally:",
        FILES,
    ),
    Mutation(
        "atomic_files.py",
        "rest = rest[os.write(descriptor, rest) :]",
        "rest = rest[os.write(descriptor, rest) and len(rest) :]",
        FILES,
    ),
    Mutation("atomic_files.py", "and not is_running(int(match[1]))", "", FILES),
    Mutation("atomic_files.py", "            if is_at(descriptor, name):", "            if True:", FILES),
    Mutation(
        "signals.py", "signal.pthread_kill(threading.main_thread().ident or 0, signum)", "pass", "test_signals.py"
    ),
    Mutation("signals.py", 'say(b"", b"\\x1b[?25h\\n")', 'say(b"", b"\\n")', "test_signals.py"),
    Mutation("signals.py", "COALESCE_SECONDS = 0.2", "COALESCE_SECONDS = 20", "test_signals.py"),
    Mutation(
        "signals.py",
        "        if self.requested is None:\n            self.requested = signum\n        self._answer()",
        "        self.requested = signum\n        self._answer()",
        "test_signals.py",
    ),
    Mutation("signals.py", "os._exit(128 + signum)", "os._exit(signum)", "test_signals.py"),
    Mutation(
        "signals.py",
        "if signal.getsignal(number) != signal.SIG_IGN:",
        "if True:",
        "cli/test_main.py::test_an_ignored_hangup_stays_ignored",
    ),
    Mutation(
        "__main__.py", "INTERRUPTED, CLOSED_PIPE = 130, 141", "INTERRUPTED, CLOSED_PIPE = 1, 141", "test_signals.py"
    ),
    Mutation(
        "__main__.py",
        "code = code or attempt(flush_stdout)",
        "code = code or 0",
        "cli/test_main.py::test_a_full_disk_is_one_sentence cli/test_cli_sample.py::test_a_full_disk_is_one_sentence",
    ),
    Mutation("rng.py", "np.random.SeedSequence(seed)", "np.random.SeedSequence(seed[:2])", f"{BATCHES} {RULES}"),
    Mutation(
        "config.py",
        "or isinstance(value, bool)",
        "",
        "cli/test_options.py "
        "language/test_sampling.py::test_values_out_of_range_are_refused "
        "checkpoint/test_checkpoint.py::test_refuses_damaged_and_hostile_files",
    ),
)
COMMANDS = (
    Mutation("tasks/classify/labelling.py", "return self.behind[1]", "return self.behind[-1]", CLASSIFY),
    Mutation("cli/classify.py", '.replace("\\n", "\\\\n")', "", CLASSIFY),
    Mutation(
        "tasks/classify/labelling.py",
        "Classifier(checkpoints, threads)",
        "Classifier(checkpoints)",
        f"{PASSED_ON}::test_threads_are_passed_on",
    ),
    Mutation("cli/complete.py", "length, threads=cores)", "length)", f"{PASSED_ON}::test_threads_are_passed_on"),
    Mutation(
        "cli/evaluate.py",
        "make_scorer(checkpoint, cores,",
        "make_scorer(checkpoint, 1,",
        f"{PASSED_ON}::test_threads_are_passed_on",
    ),
    Mutation(
        "cli/evaluate.py",
        "chosen = precision_for(precision)",
        "chosen = 'float32'",
        f"{PASSED_ON}::test_precision_is_passed_on",
    ),
    Mutation("cli/sample.py", "        threads=cores,\n", "", f"{PASSED_ON}::test_threads_are_passed_on"),
    Mutation(
        "cli/sample.py",
        "values[name] and os.fsencode(values[name]).decode()",
        "values[name]",
        f"{PASSED_ON}::test_forbidden_characters_are_utf8_whatever_the_locale",
    ),
    Mutation("cli/sample.py", "precision=precision_for(precision), ", "", f"{PASSED_ON}::test_precision_is_passed_on"),
    Mutation(
        "cli/train/command.py", 'given["precision"] = precision', "pass", f"{PASSED_ON}::test_precision_is_passed_on"
    ),
    Mutation(
        "cli/train/run.py",
        "                if writer:\n                    writer.sync()\n",
        "",
        "cli/test_cli_train.py::test_the_log_is_never_behind_the_model",
    ),
    Mutation(
        "cli/train/run.py",
        "            os.fsync(self._file.fileno())",
        "            pass",
        "cli/test_cli_train.py::test_the_log_is_never_behind_the_model",
    ),
    Mutation(
        "cli/train/language.py",
        "Trainer(task, choice.training, threads,",
        "Trainer(task, choice.training, 1,",
        f"{PASSED_ON}::test_threads_are_passed_on",
    ),
    Mutation(
        "cli/train/dry_run.py",
        "steps = min(steps, max(1, round(training.most_epochs * per_epoch)))",
        "pass",
        "cli/test_cli_train.py::test_dry_run_reports_choices_and_writes_nothing",
    ),
    Mutation(
        "text/holdout.py",
        "DEFAULT_FRACTION = 0.1",
        "DEFAULT_FRACTION = 0.12",
        "cli/test_options.py::test_defaults_that_help_names_are_those_of_the_program",
    ),
    Mutation(
        "display/tables.py",
        "names = [visible(label) for label in labels]",
        "names = list(labels)",
        "display/test_display.py",
    ),
    Mutation("display/scores.py", "code - 0xDC00", "code", "cli/test_cli_score.py language/test_line_scores.py"),
    Mutation("display/report_line.py", "number >= 0.9995 * size", "number >= size", "display/test_display.py"),
    Mutation("display/stdout.py", "\\\\ufeff", "", "display/test_display.py"),
    Mutation(
        "checkpoint/checkpoint.py",
        "if not np.isfinite(tensor).all():",
        "if False:",
        "checkpoint/test_checkpoint.py::test_refuses_damaged_and_hostile_files",
    ),
    Mutation(
        "checkpoint/checkpoint.py",
        'np.asarray(tensor, order="C")',
        "np.asarray(tensor)",
        "checkpoint/test_checkpoint.py::test_noncontiguous_arrays_round_trip",
    ),
    Mutation(
        "checkpoint/safetensors_reader.py",
        "if position != data_size:",
        "if position > data_size:",
        "checkpoint/test_checkpoint.py",
    ),
    Mutation(
        "checkpoint/safetensors_reader.py", "and len(sizes) <= DIMENSIONS_LIMIT", "", "checkpoint/test_checkpoint.py"
    ),
)
NETWORK = (
    Mutation("cells/lstm.py", "grad_f = grad_c * c_previous", "grad_f = grad_c * i", PLAIN_LAYER),
    Mutation("cells/lstm.py", "grad_h * o * (1 - tanh_c * tanh_c)", "grad_h * o * (1 - tanh_c)", PLAIN_LAYER),
    Mutation(
        "cells/lstm.py",
        'initial_bias=(("f", 1.0),)',
        "initial_bias=()",
        "network/test_parameters.py::test_initial_weights",
    ),
    Mutation("cells/gru.py", "grad_u = grad_a_n * r", "grad_u = grad_a_n", PLAIN_LAYER),
    Mutation(
        "cells/gru.py",
        "h = (1 - z) * n + z * h_previous\n    return",
        "h = z * n + (1 - z) * h_previous\n    return",
        "network/test_plain.py::test_network_follows_the_reference",
    ),
    Mutation("cells/rnn.py", "grad_h * h * (1 - h)", "grad_h * (1 - h)", PLAIN_LAYER),
    Mutation(
        "network/plain.py",
        "np.where(step.starts, 0, grad_before)",
        "grad_before",
        "network/test_plain.py::test_no_gradient_flows_past_a_start",
    ),
    Mutation(
        "network/plain.py",
        "grad.bias[:] += grad_preact.sum(axis=0)",
        "grad.bias[:] = grad_preact.sum(axis=0)",
        PLAIN_LAYER,
    ),
    Mutation(
        "network/parameters.py",
        "\nEMBEDDING_BOUND = 4.0",
        "\nEMBEDDING_BOUND = 3.0",
        "network/test_parameters.py::test_initial_weights",
    ),
    Mutation(
        "network/parameters.py",
        "bias[cell.recurrent_block + cell.recurrent_gates.index(gate)] += second[index]",
        "pass",
        "network/test_torch.py::test_saved_weights_give_the_same_logits network/test_parameters.py",
    ),
    Mutation(
        "network/parameters.py",
        "return -(-number // multiple) * multiple",
        "return (number // multiple + 1) * multiple",
        "network/test_parameters.py::test_round_up",
    ),
    Mutation(
        "network/workspace.py",
        "count_scored(self.targets) if scored is None",
        "self.targets.size if scored is None",
        "network/test_reference.py::test_mean_loss_counts_the_scored_symbols_only",
    ),
    Mutation(
        "network/config.py",
        "self.output_size % len(self.quantiles)",
        "False",
        "network/test_gradients.py training/test_task.py",
    ),
)
KERNELS = (
    Mutation("kernels/network/optimizer.py", "1 - rule.decay2**step.number", "1 - rule.decay2", OPTIMISERS),
    Mutation(
        "kernels/network/optimizer.py",
        "kept = 1 - rate * step.weight_decay",
        "kept = 1 - step.weight_decay",
        OPTIMISERS,
    ),
    Mutation(
        "kernels/network/optimizer.py",
        "(1 - weight) * load(average, k)",
        "load(average, k)",
        "kernels/test_kernels.py::test_the_average_is_the_mean",
    ),
    Mutation(
        "kernels/network/optimizer.py",
        "if np.isfinite(norm):",
        "if True:",
        "kernels/test_kernels.py::test_a_gradient_that_is_not_finite_changes_nothing",
    ),
    Mutation(
        "kernels/network/dropconnect.py",
        "LAST_SHIFT = 14",
        "LAST_SHIFT = 13",
        "kernels/test_kernels.py::test_dropconnect_follows_its_hash",
    ),
    Mutation(
        "kernels/network/losses.py",
        "math.log(denominator) + (top - target_logit)",
        "math.log(denominator) - target_logit",
        "kernels/test_kernels.py::test_cross_entropy_agrees_with_the_reference",
    ),
    Mutation(
        "kernels/network/losses.py",
        "(q - 1) * error)",
        "q * error)",
        "kernels/test_kernels.py::test_losses_of_numbers_and_their_gradients",
    ),
    Mutation("kernels/network/layer.py", "state[0] * kept", "state[0]", REFERENCE),
    Mutation(
        "kernels/network/layer.py",
        "clear(states, after + row * hidden + sizes.units, hidden - sizes.units)",
        "pass",
        "network/test_parameters.py::test_padding_stays_zero_in_training",
    ),
    Mutation(
        "kernels/text/score.py",
        "(logits[j] == logits[own] and j < own)",
        "False",
        "language/test_evaluation.py::test_ties_are_ranked_in_the_order_of_the_symbols",
    ),
    Mutation(
        "kernels/text/generate.py",
        "if position < sampling.shortest[row]:",
        "if position <= sampling.shortest[row]:",
        "language/test_sampling.py",
    ),
    Mutation(
        "kernels/text/generate.py",
        "sampling.runs[row] >= rules.max_copy",
        "sampling.runs[row] > rules.max_copy",
        "language/test_sampling.py::test_no_more_than_max_copy_characters_are_copied",
    ),
    Mutation("kernels/text/ngrams.py", "chances[i, k, 1] < grams.taken[index]", "True", "text/test_augmentation.py"),
    Mutation(
        "kernels/text/bloom.py", "return run + 1 if run else length", "return run + 1", "text/test_fingerprint.py"
    ),
    Mutation(
        "kernels/simd/vector_math.py",
        "LIMIT_SINGLE, LIMIT_DOUBLE = 80.0, 700.0",
        "LIMIT_SINGLE, LIMIT_DOUBLE = 20.0, 700.0",
        "kernels/test_kernels.py::test_exp_is_exact_to_the_last_digits",
    ),
    Mutation(
        "kernels/threads.py",
        "return part * total // parts",
        "return part * (total // parts)",
        "kernels/test_kernels.py::test_shares_cover_everything_once",
    ),
    Mutation(
        "kernels/compiler/cache.py",
        'glob("**/*.py*")',
        'glob("*.py*")',
        "kernels/test_cache.py::test_the_digest_follows_the_sources",
    ),
    Mutation(
        "kernels/compiler/cache.py",
        "status.st_mode & 0o077",
        "status.st_mode & 0o007",
        "kernels/test_cache.py::test_a_directory_that_is_open_to_others_is_not_used",
    ),
)

COUNTED = (
    Mutation("tasks/naive_bayes.py", "/ np.sqrt(np.maximum(known, 1))", "/ np.maximum(known, 1)", NAIVE_BAYES),
    Mutation("tasks/naive_bayes.py", "sums[:, :, :-1] + known * self.unseen", "sums[:, :, :-1]", NAIVE_BAYES),
    Mutation("tasks/naive_bayes.py", "step /= 2", "pass", NAIVE_BAYES, "no step goes too far in the tests"),
    Mutation("tasks/naive_bayes.py", "- by_chance", "", NAIVE_BAYES),
    Mutation("tasks/naive_bayes.py", "and len(weights) == 2 + groups", "", NAIVE_BAYES),
    Mutation("kernels/text/naive_bayes.py", "symbols[j] if j < end else 0", "symbols[min(j, end - 1)]", NAIVE_BAYES),
    Mutation("kernels/text/naive_bayes.py", "group << 28 | ", "", NAIVE_BAYES),
    Mutation("kernels/text/naive_bayes.py", "slot = (slot + 1) & last", "slot = (slot + 2) & last", NAIVE_BAYES),
    Mutation("tasks/forecast/calibration.py", "+ PRIOR * average * np.log(FACTORS) ** 2", "", CALIBRATION),
    Mutation("tasks/forecast/calibration.py", "factor * away, level", "away, level", CALIBRATION),
)
MUTATIONS = (
    *TRAINING,
    *RANKS,
    *TEXT,
    *LANGUAGE,
    *MEASURED,
    *FILES_AND_SIGNALS,
    *COMMANDS,
    *NETWORK,
    *KERNELS,
    *COUNTED,
)
