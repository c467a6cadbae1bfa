/* Choose the tags of `count` tokens, of all valid sequences the most probable one (Viterbi 1967). `logits` are those of
   rnn_read, and token k ends with symbol ends[k]. back has count * RNN_OUTPUTS ints of memory. */
static inline void rnn_best_tags(const float *logits, const int *ends, int count, int *back, int *tags) {
  double scores[2][RNN_OUTPUTS];
  for (int t = 0; t < count; t++) {
    const float *own = logits + (size_t)ends[t] * RNN_OUTPUTS;
    double *now = scores[t % 2], *before = scores[(t + 1) % 2];
    for (int k = 0; k < RNN_OUTPUTS; k++) {
      int best = -1;
#if RNN_BIO
      for (int j = 0; t > 0 && j < RNN_OUTPUTS; j++)
        if (rnn_allowed[j * RNN_OUTPUTS + k] && (best < 0 || before[j] > before[best])) best = j;
      now[k] = own[k];
      if (t == 0 && !rnn_allowed[RNN_OUTPUTS * RNN_OUTPUTS + k]) now[k] = -HUGE_VAL;
#else
      for (int j = 0; t > 0 && j < RNN_OUTPUTS; j++)
        if (best < 0 || before[j] > before[best]) best = j;
      now[k] = own[k];
#endif
      if (t > 0) now[k] += before[best];
      back[(size_t)t * RNN_OUTPUTS + (size_t)k] = best;
    }
  }
  for (int t = count - 1; t >= 0; t--) {
    if (t == count - 1) {
      tags[t] = 0;
      for (int k = 1; k < RNN_OUTPUTS; k++)
        if (scores[t % 2][k] > scores[t % 2][tags[t]]) tags[t] = k;
    } else
      tags[t] = back[(size_t)(t + 1) * RNN_OUTPUTS + (size_t)tags[t + 1]];
  }
}
