// Mailbox<T>: one producer, one consumer, bounded; sending never waits.
//
// T is plain bytes whose size is a multiple of 4 (rte_ring's unit).
#pragma once

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <memory>
#include <string>
#include <type_traits>

#include "base/result.h"

namespace shunt::share {

template <class T>
class Mailbox {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);

 public:
  /// `name` unique in the process; `size` a power of two, one less fits.
  static Result<std::unique_ptr<Mailbox>> create(const std::string& name, unsigned size,
                                                 int socket) {
    rte_ring* ring =
        rte_ring_create_elem(name.c_str(), sizeof(T), size, socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (!ring)
      return Error{"mailbox " + name + ": not enough memory for " + std::to_string(size) +
                   " entries; reserve more with the EAL option -m or hugepages"};
    return std::unique_ptr<Mailbox>(new Mailbox(ring));
  }
  ~Mailbox() { rte_ring_free(x_ring); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Producer: how many of `items` went in, from the first on.
  unsigned send(const T* items, unsigned n) {
    return rte_ring_sp_enqueue_burst_elem(x_ring, items, sizeof(T), n, nullptr);
  }
  bool send(const T& item) { return send(&item, 1) == 1; }

  /// Consumer: how many were taken.
  unsigned receive(T* items, unsigned most) {
    return rte_ring_sc_dequeue_burst_elem(x_ring, items, sizeof(T), most, nullptr);
  }
  bool empty() const { return rte_ring_empty(x_ring); }

 private:
  explicit Mailbox(rte_ring* ring) : x_ring(ring) {}
  rte_ring* x_ring;
};

}  // namespace shunt::share
