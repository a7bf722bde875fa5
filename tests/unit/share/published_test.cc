// Published and Quiescence under real threads: readers see whole values, in order, that are alive;
// the writer never waits, and everything replaced is freed once all readers have moved on.
#include "share/published.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "share/counters.h"

namespace shunt::share {
namespace {

/// All words are `number` while it lives.
struct Value {
  explicit Value(uint64_t number) { words.fill(number); }
  ~Value() {
    words.fill(UINT64_MAX);
    freed++;
  }
  std::array<uint64_t, 32> words;
  static inline std::atomic<uint64_t> freed{0};
};

struct Readers {
  Readers(unsigned count, Quiescence& quiescence, const Published<Value>& published) {
    for (unsigned r = 0; r < count; r++)
      threads.emplace_back([this, r, &quiescence, &published] { read(r, quiescence, published); });
  }
  ~Readers() {
    stop = true;
    for (auto& thread : threads) thread.join();
  }

  void read(unsigned reader, Quiescence& quiescence, const Published<Value>& published) {
    quiescence.enter(reader);
    uint64_t last = 0;
    for (unsigned turn = 0; !stop; turn++) {
      const Value* value = published.read();
      uint64_t number = value->words[0];
      for (uint64_t word : value->words) torn += word != number;
      backwards += number < last;
      last = number;
      seen.fetch_add(1, std::memory_order_relaxed);
      quiescence.quiescent(reader);
      if (turn % 16 == reader) {  // a worker that sleeps
        quiescence.offline(reader);
        sched_yield();
        quiescence.online(reader);
      }
    }
    quiescence.leave(reader);
  }

  std::atomic<bool> stop{false};
  std::atomic<uint64_t> torn{0}, backwards{0}, seen{0};
  std::vector<std::thread> threads;
};

TEST(Published, ReadersSeeWholeLivingValuesInOrder) {
  constexpr uint64_t kValues = 20'000;
  constexpr unsigned kReaders = 3;
  Value::freed = 0;
  {
    Quiescence quiescence(kReaders);
    Published<Value> published;
    published.publish(std::make_shared<Value>(0), quiescence);
    {
      Readers readers(kReaders, quiescence, published);
      while (readers.seen < 100) sched_yield();
      for (uint64_t number = 1; number <= kValues; number++) {
        while (!quiescence.can_publish()) sched_yield();
        published.publish(std::make_shared<Value>(number), quiescence);
        ASSERT_LE(quiescence.retired(), Quiescence::kMostRetired);
      }
      EXPECT_EQ(readers.torn, 0u);
      EXPECT_EQ(readers.backwards, 0u);
    }
    quiescence.collect();
    EXPECT_EQ(quiescence.retired(), 0u) << "readers that left hold nothing";
    EXPECT_EQ(Value::freed, kValues);
    EXPECT_EQ(published.read()->words[0], kValues);
  }
  EXPECT_EQ(Value::freed, kValues + 1);
}

TEST(Quiescence, AReaderThatIsStuckFillsTheListAndNothingElse) {
  Quiescence quiescence(2);
  Published<Value> published;
  published.publish(std::make_shared<Value>(0), quiescence);
  quiescence.enter(0);
  quiescence.enter(1);
  const Value* held = published.read();
  size_t published_count = 0;
  Value::freed = 0;
  for (uint64_t number = 1; number <= 1000; number++) {
    quiescence.quiescent(1);
    if (!quiescence.can_publish()) continue;
    published.publish(std::make_shared<Value>(number), quiescence);
    published_count++;
  }
  EXPECT_EQ(published_count, Quiescence::kMostRetired);
  EXPECT_EQ(Value::freed, 0u);
  EXPECT_EQ(held->words[31], 0u) << "what it reads lives on";
  quiescence.quiescent(0);
  EXPECT_TRUE(quiescence.can_publish());
  EXPECT_EQ(Value::freed, Quiescence::kMostRetired);
  quiescence.leave(0);
  quiescence.leave(1);
}

TEST(Quiescence, AGracePeriodPassesOnceAllReadersOnlineHaveMovedOn) {
  Quiescence quiescence(3);
  quiescence.enter(0);
  quiescence.enter(1);
  quiescence.enter(2);
  quiescence.offline(2);
  uint64_t mark = quiescence.mark();
  EXPECT_FALSE(quiescence.passed(mark));
  quiescence.quiescent(0);
  EXPECT_FALSE(quiescence.passed(mark));
  quiescence.offline(1);
  EXPECT_TRUE(quiescence.passed(mark)) << "offline counts as moved on";
  uint64_t later = quiescence.mark();
  quiescence.online(1);
  EXPECT_FALSE(quiescence.passed(later)) << "reader 0 was online all the time";
  for (unsigned reader : {0u, 1u, 2u}) quiescence.leave(reader);
}

TEST(Counter, OneWriterManyReadersNeverGoesBack) {
  constexpr uint64_t kSteps = 200'000;
  Counter counter;
  std::atomic<bool> stop{false};
  uint64_t last = 0, backwards = 0;
  std::thread reader([&] {
    while (!stop) {
      uint64_t now = counter.get();
      backwards += now < last;
      last = now;
    }
  });
  for (uint64_t i = 0; i < kSteps; i++) {
    counter.add(3);
    if (i % 2) counter.add(2);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(backwards, 0u);
  EXPECT_EQ(counter.get(), kSteps * 4);
  counter.subtract(kSteps * 4 - 1);
  EXPECT_EQ(counter.get(), 1u);
}

/// Takes long to be freed.
struct Slow {
  ~Slow() { freed++; }
  bool shed_next() {
    const auto end = std::chrono::steady_clock::now() + Quiescence::kCollectTime;
    while (std::chrono::steady_clock::now() < end) {
    }
    parts--;
    return parts > 0;
  }
  int parts = 5;
  static inline int freed = 0;
};

TEST(Published, ALargeValueIsFreedPartByPart) {
  Quiescence quiescence(1);
  Published<Slow> published;
  published.publish(std::make_shared<Slow>(), quiescence);
  auto kept = std::make_shared<Slow>();
  published.publish(kept, quiescence);
  for (int calls = 1; calls < 5; calls++) {
    quiescence.collect();
    EXPECT_EQ(Slow::freed, 0) << calls;
    EXPECT_EQ(quiescence.retired(), 1u);
  }
  quiescence.collect();
  EXPECT_EQ(Slow::freed, 1);
  EXPECT_EQ(quiescence.retired(), 0u);
  published.publish(nullptr, quiescence);
  quiescence.collect();
  EXPECT_EQ(kept->parts, 5) << "somebody else has it";
}

}  // namespace
}  // namespace shunt::share
