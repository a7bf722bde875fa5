#include "dataplane/defense.h"

#include <gtest/gtest.h>

namespace shunt::dataplane {
namespace {

using ipvs::Knob;

constexpr Nanoseconds kSecond = Defense::kPeriod;

share::SharedKnobs& knobs(std::initializer_list<ipvs::KnobSetting> settings) {
  static share::SharedKnobs shared;
  ipvs::Knobs values;
  for (const ipvs::KnobSetting& setting : settings) values.set(setting.knob, setting.value);
  shared.set(values);
  return shared;
}

std::string drops(Defense& defense, int packets) {
  std::string text;
  for (int i = 0; i < packets; i++) text += defense.drops_packet() ? 'x' : '.';
  return text;
}

TEST(Defense, DoesNothingByDefault) {
  Defense defense;
  defense.follow(knobs({}), {64, 64}, {64, 64}, kSecond);
  EXPECT_EQ(drops(defense, 5), ".....");
  EXPECT_FALSE(defense.secures_tcp());
  EXPECT_EQ(defense.take(Family::kV4, 100), 0u);
}

TEST(Defense, DropsOneOfAmDroprate) {
  Defense defense;
  defense.follow(knobs({{Knob::kDropPacket, 3}, {Knob::kAmDroprate, 3}}), {}, {}, kSecond);
  EXPECT_EQ(drops(defense, 8), "x..x..x.");
  defense.follow(knobs({{Knob::kDropPacket, 3}, {Knob::kAmDroprate, 1}}), {}, {}, kSecond);
  EXPECT_EQ(drops(defense, 4), ".xxx");
  defense.follow(knobs({{Knob::kDropPacket, 3}, {Knob::kAmDroprate, 0}}), {}, {}, kSecond);
  EXPECT_EQ(drops(defense, 3), "...");
  defense.follow(knobs({{Knob::kDropPacket, 3}, {Knob::kAmDroprate, -5}}), {}, {}, kSecond);
  EXPECT_EQ(drops(defense, 3), "...");
}

TEST(Defense, DropsMoreTheLessRoomThereIs) {
  const std::pair<uint32_t, const char*> kRows[] = {
      {895, "........"}, {896, "........"}, {900, "........"},  // room for 128 and more, and 124
      {930, "..x..x.."},                                        // 128 / (128 - 94)
      {960, ".x.x.x.x"}, {1024, "xxxxxxxx"}};
  for (auto [size, expected] : kRows) {
    for (int mode : {1, 2}) {
      Defense defense;
      defense.follow(knobs({{Knob::kDropPacket, mode}}), {size, 1024}, {0, 1024}, kSecond);
      EXPECT_EQ(drops(defense, 8), expected) << size;
      Defense other;
      other.follow(knobs({{Knob::kDropPacket, mode}}), {0, 1024}, {size, 1024}, kSecond);
      EXPECT_EQ(drops(other, 8), expected) << size;
    }
  }
}

TEST(Defense, FeelsPressureOnlyWithLittleRoom) {
  auto secures = [](int32_t amemthresh, uint32_t size, uint32_t capacity) {
    Defense defense;
    defense.follow(knobs({{Knob::kSecureTcp, 1}, {Knob::kAmemthresh, amemthresh}}),
                   {size, capacity}, {0, capacity}, kSecond);
    return defense.secures_tcp();
  };
  constexpr uint32_t kMany = 1u << 20;
  EXPECT_FALSE(secures(1024, kMany - 16384, kMany)) << "16 sessions for each page of 1024";
  EXPECT_TRUE(secures(1024, kMany - 16383, kMany));
  EXPECT_FALSE(secures(1024, 1024 - 128, 1024)) << "not before 7/8 are taken";
  EXPECT_TRUE(secures(1024, 1024 - 127, 1024));
  EXPECT_FALSE(secures(0, 1024, 1024));
  EXPECT_FALSE(secures(-1, 1024, 1024));
  EXPECT_TRUE(secures(INT32_MAX, 1024, 1024));
}

TEST(Defense, ModeThreeNeedsNoPressure) {
  Defense defense;
  defense.follow(knobs({{Knob::kSecureTcp, 3}, {Knob::kDropEntry, 3}}), {0, 1000}, {0, 64},
                 5 * kSecond);
  EXPECT_TRUE(defense.secures_tcp());
}

TEST(Defense, LooksAtOneShareOfTheTableEachSecond) {
  const auto& shared = knobs({{Knob::kDropEntry, 3}});
  Defense defense;
  defense.follow(knobs({}), {0, 1000}, {0, 64}, 10 * kSecond);
  knobs({{Knob::kDropEntry, 3}});
  auto follow = [&](Nanoseconds now) { defense.follow(shared, {0, 1000}, {0, 64}, now); };
  follow(10 * kSecond + 5);
  EXPECT_EQ(defense.take(Family::kV4, 100), 0u) << "the same second";
  follow(11 * kSecond);
  EXPECT_EQ(defense.take(Family::kV4, 30), 30u);
  EXPECT_EQ(defense.take(Family::kV4, 30), 2u) << "1000 / 32, rounded up";
  EXPECT_EQ(defense.take(Family::kV6, 30), 2u);
  follow(11 * kSecond + kSecond / 2);
  EXPECT_EQ(defense.take(Family::kV4, 100), 0u);
  follow(14 * kSecond);
  EXPECT_EQ(defense.take(Family::kV4, 1000), 96u);
  follow(uint64_t{1} << 60);
  EXPECT_EQ(defense.take(Family::kV4, 10'000), 32 * Defense::kMostPeriods) << "a jump of years";
  follow((uint64_t{1} << 60) + kSecond);
  defense.follow(knobs({}), {0, 1000}, {0, 64}, (uint64_t{1} << 60) + kSecond);
  EXPECT_EQ(defense.take(Family::kV4, 100), 0u) << "turned off";
}

TEST(IdleChoice, DropsTheMoreTheFewerPacketsThereWere) {
  IdleChoice choice;
  auto pattern = [&](uint8_t packets) {
    std::string text;
    for (int i = 0; i < 8; i++) text += choice.drops(packets) ? 'x' : '.';
    return text;
  };
  EXPECT_EQ(pattern(0), "........");
  EXPECT_EQ(pattern(1), "xxxxxxxx");
  EXPECT_EQ(pattern(2), "x.x.x.x.");
  EXPECT_EQ(pattern(8), "x.......");
  EXPECT_EQ(pattern(9), "........");
}

}  // namespace
}  // namespace shunt::dataplane
