// Mailboxes under real threads: what is sent arrives once, whole and in order; a full one refuses.
#include "share/mailbox.h"

#include <sched.h>

#include <array>
#include <thread>

#include "../eal_environment.h"

namespace shunt::share {
namespace {

template <class T>
std::unique_ptr<Mailbox<T>> mailbox(const char* name, unsigned size) {
  auto made = Mailbox<T>::create(name, size, SOCKET_ID_ANY);
  if (!made) ADD_FAILURE() << made.error().message;
  return made ? std::move(*made) : nullptr;
}

TEST(Mailbox, TakesWhatFitsAndKeepsTheOrder) {
  auto box = mailbox<uint64_t>("box_fits", 8);
  ASSERT_TRUE(box);
  EXPECT_TRUE(box->empty());
  std::array<uint64_t, 10> in = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, out{};
  EXPECT_EQ(box->send(in.data(), 10), 7u) << "one less than its size";
  EXPECT_FALSE(box->send(uint64_t{99}));
  EXPECT_EQ(box->receive(out.data(), 3), 3u);
  EXPECT_EQ(box->send(in.data() + 7, 3), 3u);
  EXPECT_EQ(box->receive(out.data() + 3, 10), 7u);
  EXPECT_EQ(in, out);
  EXPECT_TRUE(box->empty());
  EXPECT_EQ(box->receive(out.data(), 1), 0u);
}

/// As large as a message between planes, with what it points to.
struct Letter {
  uint64_t number;
  std::array<uint32_t, 4> copies;
  uint64_t* body;
};

TEST(Mailbox, LettersArriveOnceWholeAndInOrderAndTheirBodiesWithThem) {
  constexpr uint64_t kLetters = 100'000;
  auto there = mailbox<Letter>("box_there", 64);
  auto back = mailbox<uint64_t*>("box_back", 64);
  ASSERT_TRUE(there && back);
  uint64_t wrong = 0;
  // The consumer owns a body until it sends it back.
  std::thread consumer([&] {
    Letter letters[16];
    for (uint64_t expected = 0; expected < kLetters;) {
      unsigned n = there->receive(letters, 16);
      if (n == 0) sched_yield();
      for (unsigned i = 0; i < n; i++, expected++) {
        const Letter& letter = letters[i];
        wrong += letter.number != expected || *letter.body != expected;
        for (uint32_t copy : letter.copies) wrong += copy != static_cast<uint32_t>(expected);
        *letter.body = ~expected;
        while (!back->send(letter.body)) sched_yield();
      }
    }
  });
  std::array<uint64_t, 32> bodies{};
  std::array<uint64_t*, 32> free;
  unsigned free_count = 0;
  for (uint64_t& body : bodies) free[free_count++] = &body;
  uint64_t refused = 0, wrong_back = 0, returned = 0;
  auto take_back = [&] {
    uint64_t* body;
    while (back->receive(&body, 1) == 1) {
      wrong_back += *body < kLetters;  // the consumer's mark
      free[free_count++] = body;
      returned++;
    }
  };
  for (uint64_t number = 0; number < kLetters;) {
    take_back();
    if (free_count == 0) {
      sched_yield();
      continue;
    }
    auto copy = static_cast<uint32_t>(number);
    uint64_t* body = free[free_count - 1];
    *body = number;
    if (!there->send(Letter{number, {copy, copy, copy, copy}, body})) {
      refused++;
      sched_yield();
      continue;
    }
    free_count--;
    number++;
  }
  while (returned < kLetters) take_back();
  consumer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(wrong_back, 0u);
  EXPECT_EQ(refused, 0u) << "32 bodies fit";
  EXPECT_TRUE(there->empty());
  EXPECT_TRUE(back->empty());
}

}  // namespace
}  // namespace shunt::share
