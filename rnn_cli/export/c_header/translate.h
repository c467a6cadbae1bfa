#define RNN_SOURCE(count) ((size_t)(count) * (2 * RNN_WIDTH + RNN_HIDDEN + 1)) /* floats in which a source is read */

/* Read a source of `count` symbols, the last of which is 0. work has RNN_SOURCE(count) floats; the target needs them. */
static inline void rnn_read_source(struct rnn *net, const int *symbols, int count, float *work) {
  float *keys = work + RNN_WORK(count), *end = net->mean;
  const float *read = rnn_layers(net, symbols, count, work);
  net->read = read, net->keys = keys, net->weights = keys + (size_t)count * RNN_HIDDEN, net->count = count;
  for (int s = 0; s < count; s++)
    rnn_product(keys + (size_t)s * RNN_HIDDEN, rnn_attention_weight, read + (size_t)s * RNN_WIDTH, NULL, RNN_HIDDEN,
                RNN_WIDTH);
  memcpy(end, read, RNN_WIDTH * sizeof *end); /* a direction that reads backwards ends at the first symbol */
  memcpy(end, read + (size_t)(count - 1) * RNN_WIDTH, RNN_HIDDEN * sizeof *end);
  for (int k = 0; k < RNN_LAYERS * RNN_STATES; k++) {
    int run = RNN_LAYERS * RNN_DIRECTIONS + k / RNN_STATES;
    float *state = k % RNN_STATES ? net->c[run] : net->h[run];
    rnn_product(state, rnn_bridge_weight + (size_t)k * RNN_HIDDEN * RNN_WIDTH, end, rnn_bridge_bias + k * RNN_HIDDEN,
                RNN_HIDDEN, RNN_WIDTH);
    for (int j = 0; j < RNN_HIDDEN; j++) state[j] = tanhf(state[j]);
  }
}

/* Read a symbol of the target, 0 first; net->logits says what comes next. */
static inline void rnn_answer(struct rnn *net, int symbol) {
  const int first = RNN_LAYERS * RNN_DIRECTIONS;
  float *context = net->both + RNN_HIDDEN, *weights = net->weights, top, total = 0.0f;
  rnn_input_symbol(net, first, symbol);
  rnn_cell(net, first);
  for (int run = first + 1; run < RNN_RUNS; run++) {
    rnn_product(net->from_input, rnn_input[run], net->h[run - 1], rnn_bias_ih[run], RNN_ROWS, RNN_HIDDEN);
    rnn_cell(net, run);
  }
  memset(net->both, 0, sizeof net->both);
  memcpy(net->both, net->h[RNN_RUNS - 1], sizeof net->h[0]);
  rnn_product(weights, net->keys, net->both, NULL, net->count, RNN_HIDDEN);
  top = weights[0];
  for (int s = 1; s < net->count; s++) top = weights[s] > top ? weights[s] : top;
  for (int s = 0; s < net->count; s++) total += weights[s] = expf(weights[s] - top);
  for (int s = 0; s < net->count; s++) {
    weights[s] /= total;
    for (int j = 0; j < RNN_WIDTH; j++) context[j] += weights[s] * net->read[(size_t)s * RNN_WIDTH + (size_t)j];
  }
  rnn_product(net->z, rnn_combine_weight, net->both, rnn_combine_bias, RNN_HIDDEN, RNN_HIDDEN + RNN_WIDTH);
  for (int j = 0; j < RNN_HIDDEN; j++) net->z[j] = tanhf(net->z[j]);
  rnn_product(net->logits, rnn_decoder, net->z, rnn_decoder_bias, RNN_OUTPUTS, RNN_HIDDEN);
}

/* Return the most probable next symbol of the target; 0 is its end. */
static inline int rnn_best(const struct rnn *net) {
  int best = 0;
  for (int k = 1; k < RNN_OUTPUTS; k++)
    if (net->logits[k] > net->logits[best]) best = k;
  return best;
}
