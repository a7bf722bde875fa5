// The secrets of one worker: a key for each table that outsiders choose the keys of, and for each
// generator of numbers that others see. Workers share none of these (what they share is
// share::OwnerKeys); no key is computed from another, and none is ever shown, logged or sent.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "dataplane/tuple_index.h"
#include "ipvs/scheduler.h"
#include "net/siphash.h"

namespace shunt::dataplane {

struct Secrets {
  TupleIndex<net::V4>::Keys sessions_v4;
  TupleIndex<net::V6>::Keys sessions_v6;
  net::SipKey reassembly;
  net::SipKey call_ids_v4, call_ids_v6;
  net::SipKey local_ports_v4, local_ports_v6;
  net::SipKey gue_ports;    ///< of the source ports of GUE's outer packets
  net::SipKey identifiers;  ///< of the generator of what packets made here are numbered with
  net::SipKey early_ends;   ///< of the choice of the sessions that drop_entry looks at
  ipvs::SchedulerKeys schedulers;

  /// Error: the kernel gives none.
  static Result<Secrets> from_kernel();
  /// Of replays and tests: functions of a number and of the worker's.
  static Secrets repeatable(uint64_t number, unsigned worker = 0);
  /// Was each of them set?
  bool are_complete() const;
};

}  // namespace shunt::dataplane
