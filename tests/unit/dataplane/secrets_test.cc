// Secrets: each of its own, from the kernel or not at all.
#include "dataplane/secrets.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "share/secret.h"

namespace shunt::dataplane {
namespace {

std::vector<std::pair<uint64_t, uint64_t>> keys_of(const Secrets& secrets) {
  std::vector<net::SipKey> keys(sizeof secrets / sizeof(net::SipKey));
  std::memcpy(static_cast<void*>(keys.data()), &secrets, sizeof secrets);
  std::vector<std::pair<uint64_t, uint64_t>> pairs;
  for (const net::SipKey& key : keys) pairs.emplace_back(key.first, key.second);
  return pairs;
}

TEST(Secrets, AreAllDifferent) {
  std::set<std::pair<uint64_t, uint64_t>> seen;
  size_t all = 0;
  for (int i = 0; i < 3; i++) {
    auto secrets = Secrets::from_kernel();
    ASSERT_TRUE(secrets) << secrets.error().message;
    EXPECT_TRUE(secrets->are_complete());
    for (const auto& key : keys_of(*secrets)) seen.insert(key), all++;
  }
  for (unsigned worker : {0u, 1u})
    for (const auto& key : keys_of(Secrets::repeatable(7, worker))) seen.insert(key), all++;
  EXPECT_EQ(seen.size(), all);
  auto owners = share::OwnerKeys::from_kernel();
  ASSERT_TRUE(owners);
  EXPECT_NE(owners->flows, owners->fragments);
}

TEST(Secrets, RepeatableOnesRepeat) {
  EXPECT_EQ(keys_of(Secrets::repeatable(7)), keys_of(Secrets::repeatable(7)));
  EXPECT_NE(keys_of(Secrets::repeatable(7)), keys_of(Secrets::repeatable(8)));
  EXPECT_TRUE(Secrets::repeatable(0).are_complete());
}

TEST(Secrets, NoneGivenIsNotComplete) {
  EXPECT_FALSE(Secrets{}.are_complete());
  Secrets one_missing = Secrets::repeatable(1);
  one_missing.reassembly = {};
  EXPECT_FALSE(one_missing.are_complete());
}

/// From now on the kernel gives this process no random bytes.
void refuse_random_bytes() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter = {sizeof program / sizeof program[0], program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    std::exit(2);
}

TEST(Secrets, WithoutTheKernelsThereAreNone) {
  EXPECT_EXIT(
      {
        refuse_random_bytes();
        auto secrets = Secrets::from_kernel();
        auto owners = share::OwnerKeys::from_kernel();
        if (secrets || owners) std::exit(1);
        std::fprintf(stderr, "%s\n", secrets.error().message.c_str());
        std::exit(0);
      },
      testing::ExitedWithCode(0), "the kernel gives no random bytes for secret keys .getrandom: ");
}

}  // namespace
}  // namespace shunt::dataplane
