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

TEST(Allocation, NoneInLookups) {
  Service service = service_at("198.51.100.1", 80);
  add(service, server_at(1, "10.1.0.1", 80));
  const ServiceTable table({std::make_shared<const Service>(service)});
  const Ipv4 address = parse_address("198.51.100.1")->v4();
  int hits = 0;
  EXPECT_EQ(allocations_in([&] {
              for (uint16_t i = 0; i < 100; i++) {
                hits += table.find<net::V4>(net::kTcp, address, be16(i)) != nullptr;
                hits += table.is_masqueraded_server<net::V4>(net::kTcp, address, be16(i));
              }
            }),
            0);
  EXPECT_EQ(hits, 1);
}

class AllocationInPicks : public testing::TestWithParam<const char*> {};

TEST_P(AllocationInPicks, None) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = find_scheduler(GetParam());
  service.flags = kSchedFlag1 | kSchedFlag2;
  begin(service);
  for (int n = 1; n <= 5; n++) add(service, server_at(n, "10.1.0." + std::to_string(n), 80));
  ASSERT_TRUE(service.scheduler->build(service, {}));
  for (int n = 1; n <= 4; n++) set_weight(service, n, 0);
  const Now now = idle();
  SchedulerState state;
  int hits = 0;
  EXPECT_EQ(allocations_in([&] {
              for (uint16_t i = 0; i < 100; i++) {
                const uint8_t client[4] = {10, 9, 8, static_cast<uint8_t>(i)};
                const uint8_t vip[4] = {198, 51, 100, static_cast<uint8_t>(i / 2)};
                Flow flow = {.client = i,
                             .virtual_address = i,
                             .client_port = i,
                             .address_size = 4,
                             .client_bytes = client,
                             .virtual_bytes = vip};
                hits += service.scheduler->pick(service, state, flow, now).index != Pick::kNoPick;
              }
            }),
            0);
  EXPECT_GE(hits, service.scheduler == &kDestinationHash ? 1 : 100);
}

INSTANTIATE_TEST_SUITE_P(OfEveryScheduler, AllocationInPicks,
                         testing::Values("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh",
                                         "sed", "nq", "fo", "ovf", "mh", "twos", "maglev"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace shunt::ipvs
