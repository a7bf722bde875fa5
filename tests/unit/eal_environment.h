// DPDK's EAL for a test program: no devices, no hugepages, memory of its own. Including this file
// starts it before the first test.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace shunt {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    std::vector<std::string> words = {"test",
                                      "--no-pci",
                                      "--no-huge",
                                      "--no-shconf",
                                      "-m",
                                      "256",
                                      "--no-telemetry",
                                      "--iova-mode=va",
                                      "--log-level=lib.eal:error",
                                      "--file-prefix=shunt-test-" + std::to_string(getpid()),
                                      "-l",
                                      "0"};
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    ASSERT_GE(rte_eal_init(static_cast<int>(argv.size()), argv.data()), 0);
  }
  void TearDown() override { rte_eal_cleanup(); }
};

inline testing::Environment* const kEal = testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace shunt
