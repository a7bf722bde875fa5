// The packet path's functions of lib/ipvs allocate nothing: every operator new is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "unit/ipvs/services.h"

namespace {
std::atomic<int> allocations = 0;
}

// g++ pairs a free() with the operator new that called malloc() where it inlines only one of them.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(size_t size) {
  allocations++;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace shunt::ipvs {
namespace {

template <class Call>
int allocations_in(Call call) {
  int before = allocations;
  call();
  return allocations - before;
}

TEST(Allocation, IsCounted) {
  EXPECT_GT(allocations_in([] { std::vector<int>(1000).at(999)++; }), 0);
}

TEST(Allocation, NoneInLookupsAndPicks) {
  Service service = service_at("198.51.100.1", 80);
  service.flags = kSchedFlag1 | kSchedFlag2;
  for (int n = 1; n <= 5; n++) add(service, server_at(n, "10.1.0." + std::to_string(n), 80));
  ASSERT_TRUE(kMaglevHash.build(service));
  for (int n = 1; n <= 4; n++) set_weight(service, n, 0);
  const ServiceTable table({std::make_shared<const Service>(service)});
  const Ipv4 address = parse_address("198.51.100.1")->v4();
  SchedulerState state;
  idle();  // whose rows are made at its first call
  int hits = 0;
  EXPECT_EQ(allocations_in([&] {
              for (uint16_t i = 0; i < 100; i++) {
                hits += table.find<net::V4>(net::kTcp, address, be16(i)) != nullptr;
                hits += table.is_masqueraded_server<net::V4>(net::kTcp, address, be16(i));
                Flow flow = {.client = i, .client_port = i};
                hits += kMaglevHash.pick(service, state, flow, idle()).index != Pick::kNoPick;
                hits += kRoundRobin.pick(service, state, flow, idle()).index != Pick::kNoPick;
              }
            }),
            0);
  EXPECT_EQ(hits, 201);
}

}  // namespace
}  // namespace shunt::ipvs
