// DPDK's EAL for a test program: no devices, no hugepages, memory of its own. Including this file
// starts it before the first test.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>

#include <string>
#include <vector>

#include "share/eal.h"

namespace shunt {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    std::vector<std::string> words = share::words_of_lone_program("shunt-test");
    words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", "256"});
    auto started = share::start_eal(std::move(words));
    ASSERT_TRUE(started) << started.error().message;
  }
  void TearDown() override { rte_eal_cleanup(); }
};

inline testing::Environment* const kEal = testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace shunt
