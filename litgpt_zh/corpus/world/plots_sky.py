"""Plots of the night sky: dreams, fallen stars, the moon in the water."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("梦里的旅行")
def dream(w: World) -> None:
    """A journey to a strange place in a dream; something remains in the morning."""
    w.scene(season="any", day="night")
    w.hero("h")
    w.place("p", w.choice("journey", "journey", "sky", "elsewhere", "elsewhere"))
    w.pick("a", "animal", "hero")
    w.pick("b", "animal")
    w.pick("x", "thing", "losable", w.choice("toy", "light", "instrument", "keepsake", "school"))
    w.pick("n", "nature", "dreamt")
    w.put(
        "ride",
        "一片云 一张会飞的毯子 一只纸船 一个大气球 一片大树叶 一架纸飞机 一颗流星 一道彩虹 一匹木马 一个肥皂泡 一把大雨伞 一朵蒲公英 一条大鱼 一弯新月 一列小火车",
    )
    w.tell(
        "{when}{h}[刚闭上眼睛|刚刚睡着]，就坐着{ride}，飞到了{p.in}。",
        "{when}{h}做了一个奇怪的梦，梦见自己来到{p.in}。",
        "{h}抱着枕头睡着了，梦里，{ride}把{h}带到了{p.in}。",
        "{when}窗外飘来{ride}，{h}坐上去，一直飞到{p.in}。",
        "“快上来，我带你去旅行！”窗外有谁在喊。{h}跳上{ride}，飞到了{p.in}。",
    )
    w.tell(
        "那里有{a.one}，正在{*activity:solo}。",
        "在{p.in}，{a.one}笑着向{h}{*action:wave}。",
        "{h}看见了{n.one}，又看见了{a.one}。",
        "{a.one}迎上前来，请{h}{*food:snack=fd.eat}{fd}。",
        "那里真热闹，{*idiom:marvel@h}。这时，来了{a.one}。",
        "{p.in}静极了，{h}{*mood:curious.very}，走着走着，看见了{a.one}。",
        "那里真奇怪，{a}会{*activity:art}，还会{*activity:chore}。",
    )
    w.tell(
        "{a}告诉{h}，{b}偷走了大家的{x}。",
        "{a}在哭，因为{x}被{b}拿走了。",
        "忽然，{b}[来了|出现了]，说{x}不见了，谁也睡不着觉。",
        "{a}说，{b}把{x}藏了起来，谁也找不到。",
    )
    w.more(
        "{h}{*mood:curious.very}，跟着{a}走过一座小山，又走过一条小河。",
        "一路上，{*sound:eerie}，{*sound:bell}，什么声音都有。",
        "那里的{*plant}会说话，{*plant}会唱歌。",
    )
    w.para()
    w.tell(
        "{h}{*manner:gladly}答应帮忙，和{a}一起找回了{x}。",
        "{h}和{a}翻过山，走过河，终于找到了{x}。",
        "{h}想了一个办法，用{*food:snack=fx}换回了{x}。",
        "{h}从口袋里一掏，正好也有{x.one}，就送给了大家。",
        "{h}对{b}讲了一个笑话，{b}笑了，把{x}拿了出来。",
    )
    w.tell(
        "大家一齐{*action:cheer}，拉着{h}又唱又跳。",
        "大家高兴得又唱又跳，还为{h}跳了舞。",
        "大家高兴极了，{*idiom:dance@h}。",
        "{a}高兴极了，紧紧抱住了{h}。",
        "{h}正要和{a}一起{*activity:solo}，忽然听见妈妈在叫自己。",
    )
    if w.flag("转折", 0.5):
        w.tell(
            "醒来时，{h}发现枕边真的放着{x.one}！",
            "天亮了，{h}以为只是个梦，可是脚上沾着亮晶晶的沙子。",
            "醒来以后，{h}发现枕头旁边有一张画，画上正是{a}。",
        )
    else:
        w.tell(
            "{h}翻了个身，原来是一场梦。",
            "{h}睁开眼睛，原来是一场梦。",
            "{*idiom:wake@h}，天已经亮了。",
            "闹钟{*sound:bell}地响了，{h}揉揉眼睛，真想回到梦里去。",
        )
    w.more("{h}把这个梦画了下来，画上有{a}，也有{b}。", "{h}把梦讲给大家听，大家都说：“[真想去看看|多好的梦呀]！”")
    w.sum(
        "{h}梦见自己到了{p.in}，那里的{x}不见了，{h}帮了{a}的忙。",
        "{h}在梦里坐着{ride}旅行，遇见了{a}和{b}。",
    )


@plot("掉下来的星星")
def star(w: World) -> None:
    """A small piece of the sky has fallen; it must go home."""
    w.scene(season="any", day="night", sky="night")
    w.hero("h")
    w.friend("f")
    w.now.hush()
    w.put("s", "星星 月牙 流星 北极星 启明星")
    w.place("p", "stroll")
    w.put(
        "way",
        "风筝 大气球 热气球 孔明灯 纸飞机 大风筝 气球 飞毯 玩具火箭",
    )
    w.tell(
        "{when}一个亮亮的东西掉在{p.in}，{h}走近一看，竟然是{s.one}！",
        "{when}{h}在{p.in}捡到了从天上掉下来的{s}。",
        "{when}{h}听见哭声，原来是{s.one}从天上掉了下来。",
        "{when}{h}正在{p.in}看天，忽然{*sound:drop}一声，{s.one}落在了面前。",
    )
    w.tell(
        "{s}哭着说：“我回不去了，[妈妈会着急的|我想家]。”",
        "{s}越来越暗，[冷得发抖|一点力气也没有]。",
        "{h}想把{s}留下来，可是{s}一直在哭。",
        "{s}说，天亮以前不回去，就会消失。",
    )
    w.more(
        "{h}用手帕把{s}包起来，轻轻地抱着。", "{h}给{s}唱歌，给{s}讲故事，{s}才不哭了。", "{sky}，{h}的手心亮堂堂的。"
    )
    w.tell(
        "{h}{*manner:pull}地往上扔，可是差得太远了。",
        "{h}爬到最高的地方，使劲往上扔，还是差得太远。",
        "{h}跳啊跳，离天还远着呢，{*mood:worried.very}。",
        "{*idiom:tryall@h}，可是离天实在太远了。",
        "{h}叫来了{f}，{duo}一起想办法。",
        "{*idiom:think@h}。",
    )
    w.more(
        "{s}的身上凉凉的，轻得像一片羽毛。",
        "{h}问{s}天上有什么，{s}说，天上有好多好多兄弟姐妹。",
        "天上少了一点光，夜空好像缺了一个角。",
        "{s}的声音很小很小，只有贴近了才听得见。",
    )
    w.para()
    w.tell(
        "<f.say 我们可以用{way}！>",
        "忽然，{h}想到了{way}。",
        "最后，{h&f.ta}想出了一个好主意：用{way}试一试。",
        "<f.glad 有了，用{way}！>",
        "{h}看见墙边的{way}，一下子有了主意。",
    )
    w.tell(
        "借着{way}，{s}越飞越高，回到了天上。",
        "{h&f.ta}把{s}交给{way}，一直送到了天上。",
        "{way}带着{s}，慢慢升上了夜空。",
    )
    w.tell(
        "{s}在天上一闪一闪，好像在说谢谢。",
        "从此，每天晚上都有一点亮光照在{h}的窗前。",
        "{h}抬头挥手，{s}也眨了眨眼睛。",
        "{h}虽然舍不得，心里却{*mood:glad.very}。",
    )
    if w.flag("转折", 0.3):
        w.tell(
            "后来有一天，{h}在黑夜里迷了路，正是{s}照亮了回家的路。",
            "没想到第二天早上，{h}的枕边留下了一点会发光的粉末。",
        )
    w.more(
        "{h&f.ta}仰着头看了很久，脖子都酸了。",
        "第二天，{h}把这件事讲给大家听，有的信，有的不信。",
        "{f}说：“它一定到家了。”",
        "那一夜，天空特别亮，{p.in}像铺了一层银子。",
    )
    w.moral("help", probability=0.25)
    w.sum(
        "{s}掉到地上回不了家，{h}和{f}想办法把它送回了天上。",
        "{h}捡到从天上掉下来的{s}，和{f}一起帮它回家。",
        "{h}捡到从天上掉下来的{s}，想办法帮它回了家。",
    )


@plot("水里的月亮")
def moon(w: World) -> None:
    """Something seen in the water is taken for the thing itself."""
    w.scene(season="any", day="night", sky="night")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.now.hush()
    w.put("p", "水井 池塘 小河 大湖 水池 小溪 荷塘 鱼池 水塘 荷花池 鱼塘 水渠")
    w.pick("c", "food", "cake", "shareable")
    w.put("t", "竹竿 渔网 水桶 捕虫网 竹篮 木棍 大勺子 葫芦瓢 漏勺 脸盆 耙子 木桶")
    w.flag("转折")
    w.tell(
        "{when}{h}在{p}边低头一看，水里有一个又圆又亮的月亮。",
        "{when}{h}经过{p}边，看见水里有个月亮，吓了一跳。",
        "{h}去{p}边打水，忽然看见水里有个月亮。",
    )
    w.tell(
        "{h}{*mood:worried.very}，连忙叫来了{f}。",
        "<h.shout 快来呀，月亮掉下来了！>",
        "{f}跑来一看，也{*mood:surprised.very}。",
        "{*idiom:surprised@h}，跑去找{f}。",
    )
    w.more("天上要是没有了月亮，夜里可怎么走路呢？", "{p}边的青蛙叫着，好像在笑{h&f.ta}。")
    w.tell(
        "{h}用{t}去捞，一碰，月亮就碎了。",
        "{h&f.ta}拿{t}捞来捞去，捞上来的只有水草。",
        "{f}找来{t}，{h}趴在边上，捞了一次又一次。",
        "{h}伸手去捞，脚下一滑，差点掉进水里。",
        "{t}一下水，月亮就[散|不见]了；提起来，月亮又回来了。",
    )
    w.tell(
        "{h&f.ta}累得坐在地上，{*mood:failing.very}。",
        "{h}急得直跺脚：“月亮摔坏了！”",
        "{*idiom:tired@h}，月亮还在水里。",
        "捞了半夜，什么也没捞到。",
    )
    w.para()
    w.tell(
        "{e}走过来，[笑着|慢慢地]指了指天上。",
        "<e.laugh 你们抬头看看。>",
        "{f}一抬头，愣住了：月亮好好地挂在天上呢！",
        "{h}仰面躺下，一眼看见月亮就在天上。",
    )
    w.tell(
        "{*idiom:realise@h}，原来水里的只是影子。",
        "{h&f.ta}你看看我，我看看你，都笑了。",
        "{h}{*mood:bashful.very}，[挠挠头|摸摸脑袋]笑了。",
        "<h.laugh 原来月亮一直没有掉下来！>",
        "{h}这才知道，水就像一面镜子。",
    )
    w.more("{e}拿来{c.few}，大家坐在{p}边，一起看月亮。", "{h}对水里的月亮说：“晚安！”水里的月亮也晃了晃。")
    w.moral("curious", probability=0.35)
    w.sum(
        "{h}看见{p}里的月亮，以为月亮掉进了水里，用{t}去捞，后来才知道那是影子。",
        "{h}和{f}想用{t}捞起{p}里的月亮，抬头才发现月亮还在天上。",
        "{h}和{f}以为月亮掉进了水里，抬头才发现月亮还在天上。",
    )
