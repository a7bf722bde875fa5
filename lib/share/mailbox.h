// Mailbox<T>: one producer, one consumer, bounded; sending never waits.
//
// T is plain bytes whose size is a multiple of 4 (rte_ring's unit). The ring lies in DPDK's heap
// and not in a memory zone, of which DPDK has RTE_MAX_MEMZONE (2560): 127 workers have 16,002
// mailboxes among each other.
#pragma once

#include <rte_malloc.h>
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
  /// `name` for messages, at most 28 characters; `size` a power of two, one less fits.
  static Result<std::unique_ptr<Mailbox>> create(const std::string& name, unsigned size,
                                                 int socket) {
    void* memory = rte_zmalloc_socket(name.c_str(), bytes(size), RTE_CACHE_LINE_SIZE, socket);
    auto* ring = static_cast<rte_ring*>(memory);
    if (!ring)
      return Error{"mailbox " + name + ": not enough memory for " + std::to_string(size) +
                   " entries; reserve more with the EAL option -m or hugepages"};
    std::unique_ptr<Mailbox> mailbox(new Mailbox(ring));
    if (rte_ring_init(ring, name.c_str(), size, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0)
      return Error{"mailbox " + name + ": " + std::to_string(size) +
                   " entries are not a power of two, or its name is too long"};
    return mailbox;
  }
  /// Of memory that a mailbox with so many entries takes.
  static size_t bytes(unsigned size) {
    return static_cast<size_t>(rte_ring_get_memsize_elem(sizeof(T), size));
  }
  ~Mailbox() { rte_free(x_ring); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Producer: how many of `items` went in, from the first on.
  unsigned send(const T* items, unsigned n) {
    return rte_ring_sp_enqueue_burst_elem(x_ring, items, sizeof(T), n, nullptr);
  }
  bool send(const T& item) { return send(&item, 1) == 1; }
  /// Producer: how many would go in now, or more.
  unsigned room() const { return rte_ring_free_count(x_ring); }

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
