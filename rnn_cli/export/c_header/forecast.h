/* How y, divided by its scale, changes from step b to step a; 0 if b is before the start. */
static inline double rnn_change(const double *y, double scale, int a, int b) {
  return b < 0 ? 0.0 : y[a] / scale - y[b] / scale;
}

/* The mean of |y[t] - y[t - season]|; of a series that repeats exactly that of |y[t]|, or 1. */
static inline double rnn_scale(const double *y, int count) {
  int apart = count > RNN_SEASON ? RNN_SEASON : 1;
  double changes = 0.0, sizes = 0.0, top = 0.0;
  for (int t = 0; t < count; t++) {
    double size = fabs(y[t]);
    sizes += size / count;
    top = size > top ? size : top;
    if (t >= apart) changes += fabs(y[t] - y[t - apart]) / (count - apart);
  }
  return changes > 1e-12 * top ? changes : sizes > 1e-12 * top ? sizes : 1.0;
}

/* What the network reads at step t: x[RNN_INPUTS]. `from` is where a step ahead was in the last season. */
static inline void rnn_look(const double *y, double scale, int t, float *x) {
  const int soon = RNN_SEASON < RNN_HORIZON ? RNN_SEASON : RNN_HORIZON;
  const int later = RNN_LONGER < RNN_HORIZON ? RNN_LONGER : RNN_HORIZON;
  double level = 0.0;
  for (int k = 0; k < RNN_SEASON && k <= t; k++) level += y[t - k] / scale / RNN_SEASON;
  *x++ = (float)(y[t] / scale - y[t - 1] / scale);
  *x++ = (float)rnn_change(y, scale, t, t - RNN_SEASON);
  for (int h = 1; h <= soon; h++) *x++ = (float)(y[t + h - RNN_SEASON] / scale - level);
  for (int h = 1; h <= soon; h++) *x++ = (float)rnn_change(y, scale, t + h - RNN_SEASON, t + h - 2 * RNN_SEASON);
  for (int h = 1; h <= later; h++) {
    int from = t + h - RNN_SEASON * ((h + RNN_SEASON - 1) / RNN_SEASON);
    *x++ = (float)-rnn_change(y, scale, from, t + h - RNN_LONGER);
  }
}

/* Forecast what follows `count` values, oldest first; return 0 if they are fewer than two, or than a season. */
static inline int rnn_forecast(struct rnn *net, const double *y, int count, double forecast[][RNN_QUANTILES]) {
  const int first = RNN_SEASON > 1 ? RNN_SEASON - 1 : 1;
  float x[RNN_INPUTS];
  double scale;
  if (count <= first) return 0;
  scale = rnn_scale(y, count);
  memset(net, 0, sizeof *net);
  for (int t = count - RNN_CONTEXT > first ? count - RNN_CONTEXT : first; t < count; t++) {
    rnn_look(y, scale, t, x);
    for (int k = 0; k < RNN_INPUTS; k++) x[k] = asinhf(x[k]);
    for (int layer = 0; layer < RNN_LAYERS; layer++) {
      rnn_product(net->from_input, rnn_input[layer], layer ? net->h[layer - 1] : x, rnn_bias_ih[layer], RNN_ROWS,
                  layer ? RNN_HIDDEN : RNN_INPUTS);
      rnn_cell(net, layer);
    }
  }
  rnn_read_out(net, net->h[RNN_LAYERS - 1]);
  for (int h = 0; h < RNN_HORIZON; h++)
    for (int q = 0; q < RNN_QUANTILES; q++) {
      double value = y[count - RNN_SEASON + h % RNN_SEASON] + scale * (double)net->logits[h * RNN_QUANTILES + q];
      int k = q;
      for (; k > 0 && forecast[h][k - 1] > value; k--) forecast[h][k] = forecast[h][k - 1];
      forecast[h][k] = value; /* in order */
    }
  return RNN_HORIZON;
}
