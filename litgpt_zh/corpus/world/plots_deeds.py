"""Plots of deeds: a prank, a common effort, help for the old, habits."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot
from litgpt_zh.corpus.world.groups import land_heroes

#: Those who are the smallest beside anybody.
TINY = frozenset("老鼠 小老鼠 小白鼠 小鸡 松鼠 麻雀 小鸟 鹌鹑 刺猬 燕子".split())


@plot("恶作剧")
def prank(w: World) -> None:
    """A prank with a mask falls back on the one who plays it."""
    w.scene(day="evening")
    w.hero("h")
    w.friend("f")
    w.put("m", "面具 床单 稻草 大斗笠 旧棉袄 黑斗篷 树枝和叶子 大麻袋 披风 雨衣 窗帘 渔网 毯子 蓑衣 桌布")
    w.put("as", "妖怪 大怪物 雪怪 稻草人 海怪 大恐龙 巨人" + ("" if w.animals else " 老虎 大灰狼 黑熊"))
    w.place("p", "stroll")
    w.flag("转折")
    fight = w.flag("冲突", 0.35)
    w.tell(
        "{h}最爱捉弄别人，{at}披上{m}，扮成{as}，躲在{p.in}。",
        "{when}{h}想吓唬{f}，就用{m}扮成了{as}。",
        "{when}{h}得到了{m}，[眼珠一转|偷偷一笑]，想出了一个坏主意：扮{as}。",
        "知道{f}胆子小，{h}披着{m}等在{p.in}。",
    )
    w.tell(
        "{f}刚走过来，{h}就跳出来大叫一声。",
        "{f}哼着歌走来，{h}忽然扑了上去。",
        "{f}的脚步声{*sound:steps}地近了，{h}呜呜地叫了起来。",
        "{h}{*manner:sneak}地走到{f}身后，大叫一声。",
        "{f}{*manner:home}地走来，{h}{*manner:sudden}跳了出来，大叫一声。",
        "等{f}一到，{h}就怪叫着冲了出来。",
    )
    w.tell(
        "{f}吓得坐在地上，手里的{*food:snack,-drink}掉了一地。",
        "{*idiom:scared@f}，{h}笑得肚子都疼了。",
        "{*idiom:flee@f}，{h}在后面哈哈大笑。",
        "<f.cry 救命，有{as}！>{h}笑得直不起腰。",
    )
    if fight:
        w.tell(
            "{f}发现是{h}，{*mood:angry.very}，{duo}吵了起来。",
            "<f.angry 一点也不好笑！>{h}却说{f}太胆小。",
            "{f}认出了{h}，气得[一把推开|不再理]{h}。",
        )
    w.more(
        "{h}越想越得意，还要去吓别的伙伴。",
        "第二天，{h}又吓跑了{*animal:farm,gentle.one}和{*animal:pet,gentle,runs.one}。"
        if not w.animals
        else "第二天，{h}又吓跑了好几个伙伴。",
    )
    w.para()
    w.tell(
        "天黑了，{h}一转身，看见一个[更大的|又高又黑的]影子，吓得被{m}缠住了脚！",
        "谁知{h}经过水边，看见水里也有{as}，吓得转身就跑，一下子被{m}缠住了。",
        "没想到，{m}缠住了脚，{h}一下子{*action:fall}了，怎么也挣不开。",
        "可是{m}被树枝挂住，后面像有谁抓着，{h}怎么也跑不掉。",
    )
    w.tell(
        "{h}[又哭又叫|大声求救]，{*mood:frightened.very}。",
        "{*idiom:scared@h}。",
        "<h.cry 救命呀，{f.call}，快救我！>",
        "{h}吓得直{*action:shake}，这才知道害怕的滋味。",
    )
    w.tell(
        "{f}{*manner:run}地跑来，帮{h}解开了{m}。",
        "{f}听见喊声跑来，[帮|替]{h}解开了{m}。",
        "最后还是{f}[跑来|赶来]，拉住了{h}的手。",
        "{f}提来{*thing:lamp}一照，[什么怪物也没有|原来只是一场虚惊]，又帮{h}解开了{m}。",
    )
    w.tell(
        "{h}红着脸，再也不吓唬别人了。",
        "<h.sorry 对不起，我以后不这样了。>",
        "{*idiom:shame@h}，向{f}认了错。",
        "{h}把{m}收了起来，和{f}一起去数星星。",
    )
    w.moral("tease", probability=0.35)
    w.sum(
        "{h}用{m}扮成{as}吓唬{f}，结果自己被吓坏了，还是{f}来帮了忙。",
        "{h}爱捉弄{f}，扮{as}吓唬{f}，最后自己也尝到了害怕的滋味。",
        "{h}用{m}吓唬{f}，结果自己也尝到了害怕的滋味。",
    )


@plot("拔不动的大菜")
def giant(w: World) -> None:
    """Too big for one; many hands, and the smallest, make the difference."""
    w.scene(season="autumn")
    if w.animals:
        w.folk = [animal for animal in land_heroes(w.lexicon) if animal.has("-small")]
    w.hero("h")
    w.friend("f")
    if w.animals:
        w.folk = [animal for animal in land_heroes(w.lexicon) if animal.word in TINY]
    w.friend("g")
    w.folk = ()
    w.elder("e")
    w.put("x", "萝卜 白萝卜 红薯 土豆 胡萝卜 大白菜 芋头 红萝卜 大葱 山药 洋葱 紫薯 卷心菜 白菜 包菜 芹菜 生菜 花菜")
    w.put("p", "菜园 菜地 农场 院子 后院 小院 温室 山坡")
    w.let("verb", "[拔|拉]")
    w.tell(
        "{h}在{p.in}种了{x.one}，到了秋天，它长得比{h}还大。",
        "{when}{h}在{p.in}发现{x.one}，大得像{*thing:furniture,wood,-instrument.one}。",
        "{p.in}长出了一{x.m}特别大的{x}，{at}{h}要把它{verb}出来。",
        "{when}{h}去收{x}，有一{x.m}大得出奇。",
    )
    w.tell(
        "{h}{*manner:pull}地{verb}，{x}一动也不动。",
        "{*idiom:tired@h}，{x}还是不动。",
        "{h}用尽力气，[脸都憋红了|一屁股坐在地上]，也{verb}不动它。",
        "<h.shout 一，二，三！>可是{x}动也不动。",
        "{h}{verb}了又{verb}，{x}还是稳稳地待在地里。",
    )
    w.tell(
        "{*idiom:advise@f}，可是试了几个办法都不行。",
        "{f}来帮忙，{h}拉着{x}，{f}拉着{h}，还是{verb}不动。",
        "{h}叫来{f}，{duo}一起{verb}，{x}只晃了一下。",
        "{f}说要先挖土，{h}说要用绳子，试了都不行。",
        "{f}跑来一起{verb}，结果{duo}都摔了个四脚朝天。",
    )
    argue = w.flag("冲突", 0.25)
    if argue:
        w.tell(
            "{h}怪{f}没用力，{f}怪{h}乱用力，{duo}吵了起来。",
            "<h.angry 都怪你！><f.angry 明明是你没使劲！>",
        )
    w.more("接着，{e}也来了，大家排成一排，{x}动了一点点。", "天上的{*animal:bird,small}都停下来看热闹。")
    w.para()
    w.tell(
        "这时，最小的{g}跑来说：“我也来！”大家都笑了。",
        "{g}个子最小，大家都说：“你能帮什么忙呢？”",
        "{g}在一旁看了半天，[小声说|轻轻地说]要大家喊着号子一起用力。",
        "{e}说，不能[乱拉|各拉各的]，要一齐使劲。",
    )
    w.tell(
        "{h&f&g.ta}一起喊：一、二、三！{x}一下子出来了。",
        "{*idiom:together@h}，{x}终于出来了。",
        "大家一起{*manner:pull}地往后拉，{x}终于出来了。",
        "{*idiom:chorus@h}，再一使劲，{x}出来了！",
        "大家一齐用力，{*sound:drop}一声，{x}出来了，大家都摔倒在地。",
        "{g}走过来轻轻一拉，{x}竟然出来了！",
    )
    if w.flag("转折", 0.3):
        w.tell(
            "没想到，{x}下面还住着{*animal:burrows,small,gentle.one}，原来是它在下面拉着呢！",
            "谁知地里露出了一个[旧罐子|小箱子]，里面装着{*thing:treasure,shiny.one}。",
        )
    w.tell(
        "晚上，大家一起吃{x}做的菜，香极了。",
        "{h}把{x}分成好多份，每家都分到一份。",
        "<g.glad 我们的力气合在一起真大！>",
        "大家围着{x}又唱又跳，{*mood:glad.very}。",
        "{e}用{x}做了一大锅菜，大家吃得干干净净。",
    )
    w.moral("team", probability=0.4)
    w.sum(
        "{h}拔不动特别大的{x}，{f}和{g}都来帮忙，一起用力才成功了。",
        "{p.in}的{x}太大了，{h}、{f}和{g}齐心协力，终于把它弄了出来。",
        "{h}拔不动特别大的{x}，{f}也来帮忙，大家一起用力才成功了。",
    )


@plot("帮助老人")
def help_elder(w: World) -> None:
    """A kindness to an old one is repaid in an unforeseen way."""
    w.hero("h")
    w.adult("o", "elder", "neighbor")
    w.pick("x", "food", "vegetable")
    w.pick("t", "thing", "losable", "gift", "-paper", "-sport")
    w.place("p", "town" if not w.animals else "stroll")
    w.let("load", "一大筐{x}", "满满一袋{x}", "两大袋{x}")
    w.tell(
        "{when}{h}[在路上|在{p.in}]看见{o}[背着|扛着|拖着]{load}，走得很慢。",
        "{when}{o}[背着|扛着]{load}回家，累得[直喘气|满头大汗]。",
        "{when}{h}正要去{*activity:solo}，看见{o}摔了一跤，{x}{*sound:roll}地滚了一地。",
        "{when}{h}在{p.in}碰见{o}坐在路边，身边放着{load}。",
    )
    w.tell(
        "<h.say 我来帮您吧！>",
        "{h}[赶快|连忙]跑过去，[帮着拿|帮着抬]{x}。",
        "{h}[本来|原本]急着去玩，可还是{*manner:willing}地停了下来。",
        "{*idiom:run_up@h}，接过了{o}手里的{x}。",
        "{h}什么也没说，{*manner:pure}地[帮着搬|帮着抬]{x}。",
        "“您歇一歇，让我来。”{h}说。",
    )
    w.more(
        "{x}可真重，{h}走几步就要歇一歇，[手都勒红了|汗水直往下流]。",
        "一路上，{o}给{h}讲了[从前|年轻时]的故事，{h}听得入了迷。",
        "{h}热得[满脸是汗|直喘气]，可{h.ta}没有喊累。",
    )
    w.tell(
        "{h}把{x}一直送到家门口。",
        "[走走停停|走了好久]，{h}总算把{x}送到了。",
        "到了家，{h}还帮{o}[扫了地|打了水|倒了茶]。",
        "{h}帮{o}把{x}[一个一个|全都]放好，才转身离开。",
    )
    w.para()
    w.some(
        "{o}要[给钱|送东西]，{h}[摆摆手|摇摇头]跑开了。",
        "<o.soft 好孩子，我该怎么谢你呢？>",
        "{o}{*manner:kind}地拉住{h}的手。",
        "{*idiom:repay@o}。",
        "{*idiom:moved@o}，望着{h}的背影[看了好久|直点头]。",
    )
    if w.flag("转折", 0.4):
        w.tell(
            "过了几天，{h}弄丢了{t.one}，没想到正是{o}捡到了，[亲自|一路]送了回来。",
            "谁知第二天下起了雨，{h}没带伞，{o}正撑着伞在路口等着呢。",
            "几天后，{h}迷了路，碰巧遇见{o}，{o}一直把{h.ta}送回了家。",
            "没想到，{o}原来是个[有名的木匠|做玩具的高手]，给{h}做了{*thing:toy,makeable,wood.one}。",
        )
    else:
        w.tell(
            "{o}送给{h}{*food:cake.one}，{h}[吃在嘴里，甜在心里|高兴得合不拢嘴]。",
            "后来，{h}常常去看{o}，陪{o.ta}[说话|晒太阳|种菜]。",
            "{h}笑得合不拢嘴，一点也不觉得累。",
            "{h}虽然累，心里却{*mood:glad.very}。",
            "第二天，大家都夸{h}{*trait:helpful}，{h}的脸红了。",
        )
    w.more(
        "{h}笑着说：“[这点小事|没什么]，谁看见了都会帮忙的。”",
        "从那以后，{o}一见到{h}就[笑眯眯地招手|笑得合不拢嘴]。",
    )
    w.moral("help", probability=0.35)
    w.sum(
        "{h}看见{o}拿着很重的{x}，主动帮忙送回了家。",
        "{h}帮{o}把重重的{x}送到家，{o}很感激{h}。",
    )


@plot("改掉坏毛病")
def habit(w: World) -> None:
    """A flaw that all know, an event that shows its price, and the slow change."""
    w.hero("h")
    w.friend("f")
    w.elder("e")
    flaw = w.pick("t", "trait", "faults")
    good = w.lexicon.get(flaw.antonym) if flaw.antonym else None
    w.let("good", good.word) if good else w.let("good", "招大家喜欢")
    if good:
        w.put("good", good.word)
    w.pick("x", "thing", "toy", "losable")
    w.pick("a", "activity", "group", "play", "outdoor")
    w.place("p", "stroll")
    w.tell(
        "{h}什么都好，就是有点{t}。",
        "大家都知道{h}{t}，谁也不愿意和{h}{*activity:games}。",
        "{h}从小就{t}，大家[都拿{h}没办法|说了也不听]。",
        "{h}{t}，{f}却很{good}，{duo}是邻居。" if good else "{f}和{h}是邻居，早就知道{h}{t}。",
        "<f.say 你怎么总是这么{t}？>{h}听了很不高兴。",
    )
    w.tell(
        "{when}大家一起{a}，因为{h}{t}，玩到一半就散了。",
        "{when}{h}和{f}在{p.in}{a}，{h}的老毛病又犯了。",
        "有一次，大家约好一起玩{x}，因为{h}{t}，谁也没玩成。",
        "{when}在{p.in}，{h}又因为{t}闹出了笑话。",
    )
    quarrel = w.flag("冲突", 0.4)
    if quarrel:
        w.tell(
            "{f}{*mood:angry.very}，和{h}大吵了一架。",
            "“都怪你！”{f}说。“才不怪我！”{h}说。{duo}谁也不理谁。"
            if w.talks
            else "{f}怪{h}，{h}不服气，{duo}吵了起来。",
            "{*idiom:angry@f}，和{h}吵了一架，再也不想见到{h}。",
        )
    else:
        w.tell(
            "大家都摇摇头走了，只剩下{h}站在那里。",
            "{f}叹了口气，什么也没说。",
            "伙伴们一个一个离开了{p}。",
        )
    w.more(
        "{h}起先还觉得没什么，一个劲地说是别人的错。",
        "第二天，{h}去找伙伴，大家都说没空。",
        "{h}想起自己做过的事，一件一件，脸慢慢红了。",
    )
    w.para()
    w.tell(
        "{h}{*mood:lonely.very}，去问{e}该怎么办。",
        "晚上，{h}{*mood:downcast.very}，怎么也睡不着。",
        "{*idiom:think@h}，终于想明白了。",
        "{*idiom:alone@h}，这才知道自己错了。",
        "{h}{*mood:embarrassed.very}，决心改掉坏毛病。",
    )
    w.tell(
        "<e.soft 毛病是一天一天改的，先从小事做起吧。>",
        "{e}说：“谁都有缺点，肯改就好。”",
        "{e}给{h}一个罐子，每做对一件事就放进一颗豆子。",
        "{h}在纸上写了几个字，贴在床头，天天看一看。",
        "{h}先去向{f}认了错。",
    )
    w.some(
        "开始很难，{h}好几次又忘了，可是没有放弃。",
        "{h}一天比一天进步了，连{f}都觉得奇怪。",
    )
    w.tell(
        "过了一段日子，{h}真的变得{good}了。",
        "后来，大家都说{h}变了，变得{good}了。",
        "慢慢地，{h}成了一个{good}的孩子。" if not w.animals else "慢慢地，{h}成了一个{good}的小家伙。",
    )
    w.tell(
        "{f}笑着走过来，又和{h}一起{a}。",
        "{h}的朋友越来越多，天天都{*mood:glad.very}。",
        "<f.glad 现在我最喜欢和你玩了！>",
        "{h}笑了，原来改掉毛病这么快乐。",
    )
    w.moral("own", "friends", probability=0.2)
    w.sum(
        "{h}有点{t}，失去了朋友，后来改掉了毛病，变得{good}。",
        "因为{t}，{h}让{f}很生气，后来{h}努力改变，大家又喜欢{h}了。",
    )
