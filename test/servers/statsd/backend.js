// A statsd backend that keeps totals of all flushes and writes them to a file as JSON after each.
'use strict';
const fs = require('fs');

exports.init = function (startup, config, events) {
  const file = config.totals;
  const totals = { flushes: 0, counters: {}, gauges: {}, timers: {}, sets: {} };

  function save() {
    fs.writeFileSync(file + '.tmp', JSON.stringify(totals));
    fs.renameSync(file + '.tmp', file); // a reader sees the old or the new
  }

  events.on('flush', function (time, metrics) {
    totals.flushes++;
    for (const [name, n] of Object.entries(metrics.counters)) {
      totals.counters[name] = (totals.counters[name] || 0) + n;
    }
    for (const [name, values] of Object.entries(metrics.timers)) {
      if (values.length === 0) continue;
      const t = totals.timers[name] || (totals.timers[name] = { count: 0, sum: 0, max: -Infinity });
      t.count += metrics.timer_counters[name]; // more than values.length when the sender samples
      for (const v of values) {
        t.sum += v;
        t.max = Math.max(t.max, v);
      }
    }
    for (const [name, set] of Object.entries(metrics.sets)) {
      totals.sets[name] = set.size(); // of the last flush: sets start anew with each
    }
    Object.assign(totals.gauges, metrics.gauges);
    save();
  });
  save();
  return true;
};
