"""Plots of friendship: misunderstandings, promises, borrowed things, new faces."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot

PET_BIT = "被{*animal:pet,runs}咬坏了"


@plot("误会")
def misunderstanding(w: World) -> None:
    """Friends seem to shun the hero; they were preparing a surprise."""
    w.hero("h")
    w.friend("f")
    w.friend("g")
    w.pick("x", "thing", "gift", "losable", "-paper", w.choice("toy", "wearable", "keepsake", "craft"))
    w.flag("转折")
    fight = w.flag("冲突", 0.5)
    w.tell(
        "{when}{h}去找{f}玩，{f}却说[没空|有事]，匆匆忙忙走了。",
        "{when}{*idiom:whisper@f}，一看见{h}就不说了。",
        "{when}{f}和{g}凑在一起说悄悄话，一看见{h}就[不说了|散开了]。",
        "这几天，{f}总是躲着{h}，[放学|早上]也不等{h.ta}了。"
        if not w.animals
        else "这几天，{f}总是躲着{h}，早上也不等{h.ta}了。",
        "{when}{h}叫{f}一起{*activity:games}，{f}[连忙摇头|支支吾吾地说没空]，转身跑了。",
    )
    w.tell(
        "{h}想：{f}一定是[不喜欢我了|有了新朋友]。",
        "{*idiom:silent@h}。",
        "{h}{*manner:sit}地坐了半天，不明白是怎么回事。",
        "{*idiom:baffled@h}。",
        "{h}心里[酸酸的|像压了块石头]，{*mood:downcast.very}。",
        "{*idiom:alone@h}。",
        "<h.sad {f.call}不想和我做朋友了。>",
    )
    w.more(
        "晚上，{h}翻出和{f}一起做的{*thing:handmade}，眼泪[掉了下来|打湿了枕头]。",
        "{h}翻来覆去地想，自己到底做错了什么。",
        "连{*food:snack,-drink}也不香了，{h}吃了一口就放下了。",
    )
    w.para()
    if fight:
        w.tell(
            "{h}[跑去|冲过去]对{f}喊道：“我再也不理你了！”",
            "第二天，{h}见到{f}，[扭头就走|故意不说话]。",
            "{*idiom:angry@h}，当着大家的面和{f}吵了一架。",
        )
        w.more("{f}张了张嘴，想说什么，又忍住了。", "{g}想解释，被{f}悄悄拉住了。")
    else:
        w.tell(
            "{h}独自坐在{*place:yard.in}，谁也不想见。",
            "{h}悄悄跟在{f}后面，想看个明白。",
            "{h}早早回了家，关上门[发呆|不出来]。",
        )
    w.tell(
        "[过了一天|第二天傍晚]，{h}推开门，只听大家喊：“生日快乐！”",
        "[过了一天|第二天傍晚]，{h}推开门，[屋里忽然亮了起来|朋友们都在屋里]，原来这天是{h}的生日！",
        "谁知门一开，屋里挂满了彩带，{f}和{g}捧着{x.onea}笑着走来。",
        "可是{h}万万没想到，{f}和{g}捧着{*food:cake.one}，送来了{x.onea}。",
        "忽然有人敲门，{f}站在门口，手里捧着{x.onea}。"
        if not w.animals
        else "忽然响起敲门声，{f}站在门口，捧着{x.onea}。",
    )
    w.tell(
        "原来，{f}这几天一直在[悄悄|偷偷]给{h}准备生日礼物：{x.one}。",
        "<f.glad 我们瞒着你，是想给你一个惊喜！>",
        "原来大家躲着{h}，是为了准备生日会，还选好了{x}。",
        "{*idiom:realise@h}，原来朋友们是在为自己准备{x}。",
    )
    w.tell(
        "{h}[又哭又笑|红着脸]，连声说对不起。",
        "<h.sorry 对不起，我错怪你们了。>",
        "{h}{*mood:embarrassed.very}，紧紧抱住了{f}。",
        "{*idiom:relief@h}，和大家一起吃起了{*food:cake}。",
    )
    w.more(
        "那天，大家吃了{*food:snack,-drink}，唱了歌，{h}觉得自己是最幸福的。",
        "{g}说，为了保守秘密，[大家都快憋坏了|差点说漏了嘴]。",
    )
    w.moral("friends", probability=0.3)
    w.sum(
        "{h}以为{f}不理自己了，原来朋友们在悄悄准备生日惊喜，还送了{x}。",
        "{f}躲着{h}，让{h}很难过，后来才知道是为了给{h}过生日。",
    )


@plot("忘记的约定")
def promise(w: World) -> None:
    """A promise to meet is forgotten for play; the friend waits in vain."""
    w.hero("h")
    w.friend("f")
    w.place("p", "stroll")
    w.pick("x", "thing", "toy", "losable")
    bad = w.flag("坏结局", 0.35)
    w.tell(
        "{h}答应{f}，[下午|第二天]在{p.in}见面，[一起玩{x}|把{x}借给{f}]。",
        "<f.ask 明天在{p.in}等我，好吗？>{h}马上{*action:consent}了。",
        "{h}和{f}说好了，[明天|星期天]带着{x}到{p.in}碰头。"
        if not w.animals
        else "{h}和{f}说好了，明天带着{x}到{p.in}碰头。",
        "{h}[拍着胸口说|向{f}保证]，一定准时带{x}到{p.in}等。",
    )
    w.tell(
        "可是到了时候，{h}只顾着{*activity:indoor,play}，把这事忘得一干二净。",
        "谁知{h}[睡过了头|玩得太高兴]，忘了约定。",
        "第二天，{h}在家{*activity:indoor,quiet,play}，早把约定丢到了脑后。",
        "那天，{h}得到了{*thing:toy,gift,-paper.one}，一玩就忘了时间。",
    )
    w.more(
        "{sky}，{f}早早就来了，一直朝路口张望。",
        "{f}还特地带了{*food:snack,-drink.one}，想和{h}一起吃。",
    )
    w.tell(
        "{*idiom:look@f}，可是连{h}的影子也没有。",
        "{f}站在{p.in}，{*manner:look}地看着每一条路。",
        "{f}在{p.in}等了又等，[腿都站酸了|天都快黑了]。",
        "{f}一个人等到天黑，{*mood:downcast.very}。"
        if not w.animals
        else "{f}孤零零地等到天黑，{*mood:downcast.very}。",
        "天色一点一点暗下来，{f}还在{p.in}[等着|走来走去]。",
        "{f}等啊等，等来的只有{*animal:bird,small.one}。",
    )
    w.more(
        "{f}越等越着急，把路边的小石子数了一遍又一遍。",
        "天上的云慢慢地飘，{f}数了一朵又一朵。",
    )
    w.para()
    w.tell(
        "晚上，{h}一看见{x}，就[猛地|一下子]想了起来！",
        "直到[天黑|吃晚饭]，{h}才[猛然想起|想起来]还有一个约定。",
        "<h.worry 糟了，我忘了和{f.call}约好的事！>",
        "等{h}想起来，[天已经黑了|已经太晚了]。",
    )
    if bad:
        w.tell(
            "{h}跑到{p.in}，那里已经空空的，{f}[早走了|走了]。",
            "等{h}赶到，{*idiom:stormoff@f}。",
            "{h}{*sound:knock}地敲着门，{f}就是不开。",
            "{h}去敲门，{f}却不肯开。",
            "{h}赶到时，{f}[转身就走|哭着回家了]，怎么喊也不回头。",
        )
        w.tell(
            "从此，{f}再也不[信|听]{h}的话了。",
            "{f}着了凉，病了好几天，{h}{*mood:embarrassed.very}。",
            "后来不管{h}说什么，{f}都只是摇头。",
        )
        w.moral("promise", probability=0.5)
        w.sum(
            "{h}忘了和{f}的约定，让{f}白白等了很久，失去了{f}的信任。",
            "{h}答应带{x}去见{f}却忘了，{f}从此不再相信{h}。",
        )
        return
    w.tell(
        "{h}拿起{x}[就跑|冲出门去]，[满头大汗|上气不接下气]地找到了{f}。",
        "{h}一路飞奔到{p.in}，{f}竟然还在那里。",
        "{h}马上去找{f}，[红着脸|低着头]认错。",
        "{*idiom:rush@h}，终于找到了{f}。",
        "{*idiom:runtired@h}，终于找到了{f}。",
    )
    w.tell(
        "<h.sorry 对不起，我不该忘记。>{f}[想了想|看着满头大汗的{h}]，原谅了{h.ta}。",
        "{h}说了对不起，还把{x}送给{f}玩三天，{f}[笑了|不生气了]。",
        "{f}本来很生气，可看见{h}[急成那样|跑得那么急]，就[笑了|消了气]。",
        "{h}向{f}道了歉，{duo}又[和好了|高高兴兴地玩到一起]。",
    )
    w.more(
        "后来，{h}把每一个约定都记在[日历|小本子]上，再也没有忘过。",
        "第二天，{h}第一个来到{p.in}，等着{f}。",
    )
    w.more(
        "{duo}约好，下一次谁也不许迟到。",
        "{duo}坐在一起，把{x}玩了一遍又一遍。",
        "{f}说：“下次我也会等你的。”",
    )
    w.moral("promise", probability=0.45)
    w.sum(
        "{h}忘了和{f}的约定，想起来后赶去道歉，得到了{f}的原谅。",
        "{h}答应和{f}在{p.in}见面却忘了，后来认错，{duo}和好了。",
    )


@plot("借来的东西")
def borrowed(w: World) -> None:
    """A borrowed thing is spoilt; will the borrower own up and make it good?"""
    w.hero("h")
    w.friend("f")
    if w.chance(0.6):
        w.pick("x", "thing", "book", "gift")
        w.let("harm", "被撕破了一页", "掉进水里，湿透了", "沾上了一大块墨水", PET_BIT if not w.animals else "折坏了角")
    else:
        w.pick("x", "thing", "clothes", "gift", "-sport")
        w.let("harm", "破了一个洞", "掉进了泥坑", "沾满了油", PET_BIT if not w.animals else "被树枝钩破了")
    w.tell(
        "{when}{h}向{f}借了{x.onea}。",
        "{f}有{x.onea}，{at}{h}把它借走了。",
        "<h.ask 你的{x}能借我吗？><f.answer 好的，要小心爱护。>",
        "{f}把心爱的{x}借给了{h}，[叮嘱{h}|请{h}]好好爱护。",
    )
    w.more(
        "{h}拍着胸口保证：三天以后一定好好还给{f}。",
        "这{x.m}{x}是{f}过生日时得到的礼物，平时谁也不让碰。",
    )
    w.tell(
        "可是第二天，{x}{harm}。",
        "谁知{h}[一不留神|不小心]，{x}{harm}。",
        "{h}随手把{x}一放，回来一看，{x}{harm}。",
        "{h}玩得太高兴，没管好{x}，{x}{harm}。",
    )
    w.tell(
        "{h}吓坏了，{*mood:worried.very}。",
        "{*idiom:worried@h}。",
        "<h.worry 糟糕，我怎么跟{f.call}说呢？>",
        "{*idiom:unaware@f}，{h}却{*mood:worried.very}。",
        "{h}[想把它藏起来|想装作不知道]，可是心里{*mood:embarrassed.very}。",
    )
    w.para()
    if w.flag("坏结局", 0.2):
        w.flag("冲突")
        w.tell(
            "{h}悄悄把{x}塞回{f}的[书包|柜子]里，什么也没说。",
            "{h}骗{f}说，借来的时候就是这样。",
            "{h}硬说那是别人弄的，不是自己的错。",
        )
        w.tell(
            "{f}发现以后{*mood:angry.very}，和{h}大吵了一架。",
            "{f}[气得哭了|什么都明白了]，和{h}吵了起来，{duo}再也不来往了。",
            "<f.angry 我再也不借给你东西了！>",
        )
        w.more("从那以后，谁也不肯把东西借给{h}了。", "{h}独自走在路上，[后悔极了|心里像压着石头]。")
        w.moral("borrow", probability=0.5)
        w.sum("{h}借来{f}的{x}，弄坏了还不肯承认，失去了这个朋友。")
        return
    w.tell(
        "{h}擦干净{x}，又[补了又补|修了半天]，可还是有痕迹。",
        "{h}拿出自己的零花钱，想买一{x.m}新的。",
        "{h}连夜把{x}补好了。",
        "{h}想了一夜，决定[去找{f}说清楚|说实话]。",
    )
    w.tell(
        "<h.sorry 对不起，我弄坏了你的{x}。>",
        "{*idiom:courage@h}，对{f}说了实话。",
        "{h}红着脸，把事情{*manner:confess}地告诉了{f}。",
        "见到{f}，{h}低下头，说了真话。",
        "{h}带着{*thing:toy,losable.one}去赔给{f}，[头也不敢抬|说了好几声对不起]。",
    )
    w.tell(
        "{f}[愣了一会儿|有点难过]，可还是[笑了|原谅了{h}]。",
        "<f.comfort 没关系，你肯说真话就好。>",
        "{f}拍拍{h}，说以后小心一点就好。",
        "{*idiom:mild@f}，说没关系。",
        "{f}{*manner:willing}地原谅了{h}。",
        "{f}摆摆手，拉着{h}一起去{*activity:games}。",
    )
    w.more("后来，{h}还给{f}画了{*thing:cards.one}，上面写着谢谢你。", "从此，{h}借了东西都特别小心。")
    w.moral("borrow", "confess", probability=0.35)
    w.sum(
        "{h}弄坏了向{f}借的{x}，勇敢地承认错误，{f}原谅了{h}。",
        "{h}借来{f}的{x}，不小心弄坏了，后来诚心道歉，{duo}还是好朋友。",
    )


@plot("新同学", "child")
def new_pupil(w: World) -> None:
    """A shy newcomer finds the first friend through something both love."""
    w.scene(season="any", day="morning")
    w.plain = True
    w.hero("h")
    w.friend("f")
    w.adult("t", "teacher")
    w.pick("a", "activity", "hobby")
    w.pick("x", "thing", "toy", "losable", "-tool")
    w.put("p", "操场 草坪")
    mocked = w.flag("冲突", 0.3)
    w.let("start", "开学第一天，", "星期一早上，", "这天早上，", "新学期的第一天，")
    w.tell(
        "{start}{t}领来了新同学{h}。",
        "{start}班里来了一位新同学，[名字叫|叫]{h}，{h.ta}总是低着头。",
        "{h}刚搬到这里。{start}{h.ta}第一次走进教室，{*mood:shy.very}。",
        "{start}新同学{h}一句话也不说，坐在最后一排看着窗外。",
        "{h}是新来的同学，谁也不认识，{*mood:lonely.very}。",
    )
    w.more(
        "教室里有人在说笑，有人在看书，{h}不知道该坐在哪里。",
        "{h}低着头，一遍一遍地摆弄着铅笔盒。",
        "早上出门的时候，妈妈拉着{h}的手说：“别怕，会有朋友的。”",
        "墙上贴着许多画，{h}看了一张又一张。",
    )
    w.tell(
        "{h}{*manner:sit}地坐着，看着别人{*activity:games}。",
        "{*idiom:quiet@h}，别人一看过来，{h}就{*action:blush}。",
        "{h}{*manner:timid}地站在门口，不敢进去。",
        "下课了，大家都去{*activity:games}，只有{h}坐着不动。",
        "<t.soft 来，跟大家说说你自己。>可是{h}的声音[像蚊子一样小|小得听不见]。",
        "{*idiom:shy@h}，连自己的名字也没说清楚。",
        "别人在{p.in}玩，{h}站在[墙边|树下]看着。",
        "{h}想跟大家一起玩，又[不敢开口|怕大家不理]。",
    )
    if mocked:
        w.tell(
            "有人笑{h}说话的口音，{h}{*mood:angry.very}，跟那个孩子吵了起来。",
            "一个孩子学{h}说话，故意逗大家笑，{h}气得[满脸通红|直跺脚]，和那个孩子吵了起来。",
        )
    w.more(
        "{h}从书包里拿出{x}，[摸了摸|看了看]，又悄悄放了回去。",
        "{h}想念以前的[学校|朋友]，眼睛[红了|湿湿的]。",
    )
    w.para()
    w.tell(
        "{f}[走|跑]过来，看见{h}手里的{x}，眼睛一亮。",
        "{f}发现{h}的桌上放着{x}，[高兴地|好奇地]走了过来。",
        "<f.ask 你也喜欢{a}吗？>",
        "{f}坐到{h}身边，递过去{*food:snack,shareable.one}。",
        "{f}走过来，伸出手说：“我们一起玩吧！”",
    )
    w.tell(
        "{h}[轻轻地|慢慢]点了点头，脸上露出了笑容。",
        "原来，{h&f}都喜欢{a}，[越说越高兴|一下子有了说不完的话]。",
        "{*idiom:lively@f}，{h}也笑了起来。",
        "{h}使劲点头，{duo}一起{*action:glad}。",
        "{h}笑着点点头，教{f}玩起了{x}。",
        "<h.shy 我叫{h}，我也喜欢{a}。>",
    )
    w.more(
        "其他孩子也围了过来，[你一句我一句|都想看看{x}]。",
        "{t}在窗边看着，[满意地笑了|悄悄点了点头]。",
    )
    w.tell(
        "放学的时候，{h&f.ta}手拉手走出了校门。",
        "从此，{*idiom:friends@h}。",
        "第二天，{h}第一个[来到学校|举手发言]，再也不害羞了。",
        "课间的时候，{*idiom:chat@h}。",
        "放学的时候，{h}向{f}{*action:wave}，约好明天再见。",
        "没过几天，{h}就成了大家的好朋友。",
        "{h}回家对妈妈说：“我有朋友了！”",
    )
    w.more(
        "放学路上，{h}和{f}发现两家原来住得很近。",
        "{f}把{h}介绍给自己的朋友，大家都围着问这问那。",
        "过了几天，{h}带来了好多{*food:snack,shareable,-drink}，和大家一起分着吃。",
        "{h}给从前的朋友写了一封信，说这里也很好。",
    )
    w.moral("kindword", "brave", probability=0.3)
    w.sum(
        "新来的{h}很害羞，{f}主动和{h}说话，{duo}成了好朋友。",
        "{h}刚到新学校，没有朋友，后来和{f}成了好朋友。",
    )
